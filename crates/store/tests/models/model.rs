//! A language model that says what its script says.

use async_trait::async_trait;
use futures_util::{StreamExt, stream};
use parlance_domain::upstream::{Model, ModelError, ModelEvent, ModelRequest, ModelStream};
use shuttle::rand::Rng;

/// What it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Script {
    /// It says two words and is done.
    Speaks,
    /// It says a word and then nothing, without end.
    Hangs,
    /// It says a word and breaks off.
    Breaks,
    /// It says a word and panics.
    Panics,
    /// It cannot be reached.
    Down,
    /// Each time one of these, by chance.
    Any,
}

impl Script {
    fn chosen(self) -> Self {
        let all = [
            Self::Speaks,
            Self::Hangs,
            Self::Breaks,
            Self::Panics,
            Self::Down,
        ];
        match self {
            Self::Any => all[shuttle::rand::thread_rng().gen_range(0..all.len())],
            one @ (Self::Speaks | Self::Hangs | Self::Breaks | Self::Panics | Self::Down) => one,
        }
    }
}

#[async_trait]
impl Model for Script {
    async fn answer(&self, _: ModelRequest) -> Result<ModelStream, ModelError> {
        let word = |word: &str| Ok(ModelEvent::Text(word.to_owned()));
        let script = self.chosen();
        if script == Self::Down {
            return Err(ModelError::Down(None));
        }
        let end = stream::once(async move {
            // Not at once: others may go on between what is said.
            shuttle::future::yield_now().await;
            match script {
                Self::Speaks => word("second "),
                Self::Hangs => std::future::pending().await,
                // Not `panic!`, which would print something each time.
                Self::Panics => std::panic::resume_unwind(Box::new("as the script says")),
                Self::Breaks | Self::Down | Self::Any => Err(ModelError::Down(None)),
            }
        });
        Ok(stream::iter([word("first ")]).chain(end).boxed())
    }
}
