//! Messages as a client writes and reads them. What servers send is taken as leniently as it can be understood.

use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// A message to a server.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Outgoing<'a> {
    pub channel: &'a str,
    pub id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub supported_connection_types: Option<[&'a str; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub connection_type: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscription: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub advice: Option<TimeoutAdvice>,
}

/// How long a client wants a connect to be held.
#[derive(Debug, Serialize)]
pub(super) struct TimeoutAdvice {
    /// Milliseconds.
    pub timeout: u32,
}

/// A message from a server: a reply or an event.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Incoming {
    pub channel: String,
    pub id: Option<Value>,
    pub client_id: Option<String>,
    pub successful: Option<bool>,
    pub error: Option<Value>,
    pub supported_connection_types: Option<Vec<String>>,
    /// The text, so that numbers stay as they were written. `null` is data too.
    #[serde(deserialize_with = "present")]
    pub data: Option<Box<RawValue>>,
    pub advice: Option<Advice>,
}

/// What a server advises.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Advice {
    pub reconnect: Option<String>,
    /// Milliseconds.
    pub interval: Option<f64>,
    /// Milliseconds.
    pub timeout: Option<f64>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Box<RawValue>>, D::Error> {
    Box::<RawValue>::deserialize(deserializer).map(Some)
}

/// The messages of a body or a frame: an array, or one alone.
///
/// # Errors
/// If it is something else.
pub(super) fn parse(text: &[u8]) -> Result<Vec<Incoming>, serde_json::Error> {
    match text.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => Ok(Vec::new()),
        Some(b'[') => serde_json::from_slice(text),
        Some(_) => serde_json::from_slice(text).map(|message| vec![message]),
    }
}

// === impl Incoming ===

impl Incoming {
    /// The id as text; servers may answer with a number.
    pub fn id(&self) -> Option<String> {
        match self.id.as_ref()? {
            Value::String(id) => Some(id.clone()),
            Value::Number(id) => Some(id.to_string()),
            _ => None,
        }
    }

    /// What went wrong, in the server's words.
    pub fn error(&self) -> String {
        match &self.error {
            Some(Value::String(error)) => error.clone(),
            Some(error) => error.to_string(),
            None => "refused without a reason".to_owned(),
        }
    }

    /// Whether the server does not know the session (any more).
    pub fn is_unknown_session(&self) -> bool {
        self.successful == Some(false) && self.error().starts_with("402")
    }

    /// What `advice.reconnect` says.
    pub fn reconnect(&self) -> Option<&str> {
        self.advice.as_ref()?.reconnect.as_deref()
    }
}
