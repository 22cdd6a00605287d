//! Turns of a service over a store.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::clock::Clock;
use parlance_domain::model::{App, AppMode, TurnState};
use parlance_domain::service::{ConversationDraft, Ports, TurnDraft, TurnEvent, TurnTarget};
use parlance_domain::tasks::Tasks;
use parlance_domain::upstream::{ModelError, ModelEvent, ModelRequest, ModelStream};
use parlance_domain::{Service, Settings};
use parlance_store::Memory;
use parlance_testkit::answering::{Answer, Answering};
use parlance_testkit::{ManualClock, samples};

/// It always has more to say, and never lets anybody wait for it.
struct Talkative;

#[async_trait]
impl Answer for Talkative {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let words = stream::repeat_with(|| Ok(ModelEvent::Text("and so on, ".to_owned())));
        Ok(words.boxed())
    }
}

fn service() -> Service {
    let clock = Arc::new(ManualClock::default());
    let ports = Ports {
        store: Arc::new(Memory::default()),
        model: Arc::new(Answering(Talkative)),
        ids: Arc::new(samples::ids(Arc::<ManualClock>::clone(&clock))),
        clock,
        tasks: Tasks::default(),
        notary: samples::notary(),
    };
    Service::new(ports, Settings::default())
}

#[tokio::test]
async fn a_turn_is_stopped_although_its_model_never_pauses() {
    let (service, who) = (service(), samples::principal("ann"));
    let app = App {
        id: samples::app(1),
        project: samples::PROJECT,
        name: "default".to_owned(),
        mode: AppMode::AdvancedChat,
        model: None,
        instructions: None,
        created_at: ManualClock::default().now(),
    };
    let target = TurnTarget::New(Box::new(ConversationDraft::new(app.id)));
    let draft = TurnDraft::new(
        Arc::new(app),
        target,
        vec![samples::question("what?").into()],
    );
    let mut turn = service.start_turn(&who, draft).await.unwrap();
    service.stop_turn(&who, turn.turn.into());
    let end = loop {
        if let Some(TurnEvent::Ended(end)) = turn.next().await {
            break end;
        }
    };
    assert_eq!(end.state, TurnState::Cancelled);
}
