//! Chat completions, passed on to the model as they are: one base URL serves a program that uses both
//! APIs. Nothing is stored, and an app's own instructions are not added.

use axum::body::Body;
use axum::response::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, StatusCode};
use parlance_domain::fault::MalformedBody;
use parlance_domain::upstream::RawAnswer;
use parlance_domain::{Error, Fault, Json, Reason};

use crate::kit::fields::kind;
use crate::kit::raw::RawObject;
use crate::kit::route::beside_runtime;
use crate::kit::{Call, Reply, reply, route};
use crate::openai::caller::principal;
use crate::openai::error::model_missing;

const MODEL: &str = "model";

/// `POST /v1/chat/completions`. In Azure's older form of path the deployment is the model, whatever the
/// body says, as `AzureOpenAI` of the SDKs has it.
pub(in crate::openai) async fn complete(call: Call) -> Reply {
    // Nobody's data are touched; but a key that speaks for one user does so everywhere.
    principal(&call)?;
    let mut body = beside_runtime(call.body.len(), || read(&call.body))?;
    let named = match call.param("deployment") {
        "" => named_model(&body)?,
        deployment => Some(deployment.to_owned()),
    };
    let chosen = call
        .service
        .choose_model(&call.access, named.as_deref())
        .await
        .map_err(|error| model_missing(error, named.as_deref()))?;
    let write = |error| Error::caused_by(Fault::Internal, error);
    body.set(MODEL, Json::of(&chosen.model).map_err(write)?);
    let body = beside_runtime(call.body.len(), || Json::of(&body)).map_err(write)?;
    let answer = call.service.pass_chat(&chosen.model, body).await;
    let answer = answer.map_err(|error| model_missing(error, Some(&chosen.model)))?;
    Ok(pass_on(answer))
}

/// The body as it came, each value in its own text.
fn read(body: &[u8]) -> Result<RawObject, Error> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Err(Fault::MalformedBody(MalformedBody::Absent).into());
    }
    let read = std::str::from_utf8(body).ok().and_then(RawObject::parse);
    // What is wrong with it is only of interest where something is.
    read.ok_or_else(|| match route::parse(body) {
        Err(error) => error,
        Ok(_) => Fault::MalformedBody(MalformedBody::NotObject).into(),
    })
}

fn named_model(body: &RawObject) -> Result<Option<String>, Error> {
    let value = body.get(MODEL).map(Json::value).unwrap_or_default();
    if let Some(name) = value.as_str() {
        return Ok(Some(name.to_owned()));
    }
    if value.is_null() {
        return Ok(None);
    }
    let (expected, got) = ("a string", kind(&value));
    Err(Error::invalid(MODEL, Reason::WrongType { expected, got }))
}

/// The answer of a model's server, piece by piece as it comes.
fn pass_on(answer: RawAnswer) -> Response {
    let mut response = Response::new(Body::from_stream(answer.body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::BAD_GATEWAY);
    let headers: &mut HeaderMap = response.headers_mut();
    let content_type = answer.content_type.map(HeaderValue::try_from);
    let json = HeaderValue::from_static("application/json");
    let content_type = content_type.and_then(Result::ok).unwrap_or(json);
    headers.insert(CONTENT_TYPE, content_type);
    if let Some(wait) = answer.retry_after {
        reply::retry_after(headers, wait);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(body: &str, expected: MalformedBody) {
        let error = read(body.as_bytes()).expect_err("it is refused");
        assert_eq!(error.fault, Fault::MalformedBody(expected));
    }

    #[test]
    fn a_body_is_passed_on_with_the_text_of_its_numbers_and_the_order_of_its_keys() {
        let text =
            r#"{"z":1.0,"model":"m","a":{"x":1e400,"y":[ 1 ]},"seed":123456789012345678901}"#;
        let mut body = read(text.as_bytes()).expect("an object");
        body.set(MODEL, Json::of("n").expect("JSON"));
        let sent = Json::of(&body).expect("JSON");
        assert_eq!(sent.text(), text.replace("\"m\"", "\"n\""));
    }

    #[test]
    fn a_body_that_is_no_object_is_refused_for_what_it_is() {
        refused("", MalformedBody::Absent);
        refused(" \n", MalformedBody::Absent);
        refused("[]", MalformedBody::NotObject);
        refused("\"x\"", MalformedBody::NotObject);
        refused("{\"a\":1,}", MalformedBody::NotJson { at: 7 });
        refused("{} {}", MalformedBody::NotJson { at: 3 });
    }

    #[test]
    fn a_model_is_named_by_a_string_or_not_at_all() {
        let named = |text: &str| named_model(&read(text.as_bytes()).expect("an object"));
        assert_eq!(
            named("{\"model\":\"m\"}").expect("a name"),
            Some("m".to_owned())
        );
        assert_eq!(named("{\"model\":null}").expect("no name"), None);
        assert_eq!(named("{}").expect("no name"), None);
        let error = named("{\"model\":7}").expect_err("no string");
        let (expected, got) = ("a string", "an integer");
        let why = Reason::WrongType { expected, got };
        let field = MODEL.to_owned();
        assert_eq!(error.fault, Fault::Invalid { field, why });
    }
}
