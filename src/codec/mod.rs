//! Record bytes to JSON and back. Pure.

mod binary;
mod json;
mod key;
mod value;
mod z85;

pub use binary::{
    BINARY_HEADER, header_of as binary_header_of, put_ext as put_binary_ext, put_message,
    put_string as put_bytes,
};
pub use json::{MAX_DEPTH, Pointer, check as check_json, put_string, scalar as json_scalar};
pub use key::{KeyFormat, check_key, decode_key, encode_key};
pub use value::{ValueFormat, check_value, decode_value, encode_value};

/// Why bytes are not what their format says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    /// Text that is not UTF-8.
    #[error("it is not UTF-8")]
    NotUtf8,
    /// Not one JSON text.
    #[error("it is not JSON: {0}")]
    NotJson(String),
    /// Arrays and objects within each other, deeper than [`MAX_DEPTH`].
    #[error("its JSON is nested deeper than {MAX_DEPTH}")]
    TooDeep,
    /// JSON, but null, an object or an array where one text is needed.
    #[error("it is {0}, not a string or number")]
    NotScalar(&'static str),
    /// `text` values are JSON strings to clients.
    #[error("it is not a JSON string")]
    NotString,
    /// The wrong number of bytes for a binary integer.
    #[error("it has {found} bytes, not {expected}")]
    Length {
        /// What the format has.
        expected: usize,
        /// What was there.
        found: usize,
    },
    /// Text that is not an integer of the format, in its shortest form.
    #[error("it is not {0}")]
    NotInteger(&'static str),
    /// Not a message of the binary extension.
    #[error("it is not {{\"data\": \"<Z85>\"}} with ext.binary")]
    NotBinary,
    /// Text that is not Z85.
    #[error("it is not Z85")]
    NotZ85,
    /// Text that is not a UUID.
    #[error("it is not a UUID")]
    NotUuid,
}
