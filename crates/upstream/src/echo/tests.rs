use futures_util::StreamExt;
use parlance_domain::Role;
use parlance_domain::upstream::ModelMessage;

use super::*;

#[tokio::test]
async fn echo_repeats_the_last_message_and_says_what_it_is() {
    let message = |text: &str| ModelMessage {
        role: Role::User,
        text: text.to_owned(),
    };
    let request = ModelRequest {
        model: "echo".to_owned(),
        instructions: None,
        messages: vec![message("first"), message("hello  there")],
    };
    let events: Vec<_> = Echo
        .answer(request)
        .await
        .expect("echo answers")
        .collect()
        .await;
    let text: String = events
        .iter()
        .filter_map(|event| match event {
            Ok(ModelEvent::Text(text)) => Some(text.as_str()),
            Ok(ModelEvent::Usage(_)) | Err(_) => None,
        })
        .collect();
    assert_eq!(text, "[echo, not a model] You said: hello  there");
    assert!(matches!(
        events.last(),
        Some(Ok(ModelEvent::Usage(Usage {
            input_tokens: 3,
            output_tokens: 8
        })))
    ));
}
