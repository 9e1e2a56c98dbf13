//! The head of a CGI answer (RFC 3875, 6): from bytes to a status and headers.

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};

/// Longest head, in bytes, as for components.
pub const HEAD_MAX_BYTES: usize = 64 << 10;
/// Most headers, as a request may have.
const HEADERS_MAX: usize = 200;

/// How an answer begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Head {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    /// Bytes that it takes, the empty line included.
    pub length_bytes: usize,
}

/// What is wrong with a head: a clause.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum HeadError {
    /// Nothing was printed.
    #[error("it printed nothing")]
    Empty,
    /// It ends before the empty line.
    #[error("it ends before the empty line that ends a head")]
    Unfinished,
    /// It has no end in sight.
    #[error("its head is longer than {HEAD_MAX_BYTES} bytes")]
    TooLong,
    /// It has too many headers.
    #[error("it has more than {HEADERS_MAX} headers")]
    TooManyHeaders,
    /// It looks like a JSON document.
    #[error(
        "it begins like a JSON document, where `Name: value` lines are expected; a JSON command sets `command.contract: JSON`"
    )]
    Json,
    /// It prints a whole HTTP answer.
    #[error("it begins with `HTTP/`: print `Status: 200 OK` instead")]
    NotParsed,
    /// A line is no header.
    #[error("line {0} of its head is not `Name: value`")]
    Line(usize),
    /// A value holds what no header may hold.
    #[error("the value in line {0} of its head is not allowed in a header")]
    Value(usize),
    /// One of `Status`, `Location` and `Content-Type` stands there twice.
    #[error("it has `{0}` more than once")]
    Twice(&'static str),
    /// The status is no number of a final answer.
    #[error("its `Status` is not a number from 200 to 599")]
    Status,
    /// None of the three that the RFC asks for is there.
    #[error("it has none of `Content-Type`, `Location` and `Status`")]
    NothingSaid,
}

/// Reads a head from the beginning of what a program printed so far; nothing, while its end has
/// not come.
///
/// # Errors
/// [`HeadError`] as soon as it cannot become a head any more.
pub fn parse(printed: &[u8]) -> Result<Option<Head>, HeadError> {
    refuse_early(printed)?;
    let Some((lines, length_bytes)) = lines(printed) else {
        return if printed.len() > HEAD_MAX_BYTES {
            Err(HeadError::TooLong)
        } else {
            Ok(None)
        };
    };
    if length_bytes > HEAD_MAX_BYTES {
        return Err(HeadError::TooLong);
    }
    if lines.len() > HEADERS_MAX {
        return Err(HeadError::TooManyHeaders);
    }
    let mut said = None;
    let mut headers = HeaderMap::with_capacity(lines.len());
    for (index, line) in lines.into_iter().enumerate() {
        let (name, value) = field(line, index + 1)?;
        if name == "status" {
            if said.is_some() {
                return Err(HeadError::Twice("Status"));
            }
            said = Some(status(value.as_bytes())?);
        } else {
            headers.append(name, value);
        }
    }
    settle(said, headers, length_bytes).map(Some)
}

/// What is wrong with output that ended before its head did.
#[must_use]
pub fn unfinished(printed: &[u8]) -> HeadError {
    if printed.is_empty() {
        HeadError::Empty
    } else {
        HeadError::Unfinished
    }
}

/// Names the common mistakes before the end of a head is waited for.
fn refuse_early(printed: &[u8]) -> Result<(), HeadError> {
    match printed.first() {
        Some(b'{' | b'[') => Err(HeadError::Json),
        _ if printed.starts_with(b"HTTP/") => Err(HeadError::NotParsed),
        _ => Ok(()),
    }
}

/// Lines up to the empty one, and the bytes that all take. Lines end with a line feed, with or
/// without a carriage return.
fn lines(printed: &[u8]) -> Option<(Vec<&[u8]>, usize)> {
    let mut lines = Vec::new();
    let mut length = 0;
    for line in printed.split_inclusive(|byte| *byte == b'\n') {
        length += line.len();
        let line = line.strip_suffix(b"\n")?;
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Some((lines, length));
        }
        lines.push(line);
        if length > HEAD_MAX_BYTES {
            return None;
        }
    }
    None
}

fn field(line: &[u8], number: usize) -> Result<(HeaderName, HeaderValue), HeadError> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(HeadError::Line(number))?;
    let (name, value) = line.split_at(colon);
    let name = HeaderName::from_bytes(name).map_err(|_| HeadError::Line(number))?;
    let value = value.get(1..).unwrap_or_default().trim_ascii();
    let value = HeaderValue::from_bytes(value).map_err(|_| HeadError::Value(number))?;
    Ok((name, value))
}

/// `Status: 404 Not Found`; the words are for people.
fn status(value: &[u8]) -> Result<StatusCode, HeadError> {
    let number = value.split(u8::is_ascii_whitespace).next();
    number
        .and_then(|number| StatusCode::from_bytes(number).ok())
        .filter(|status| (200..600).contains(&status.as_u16()))
        .ok_or(HeadError::Status)
}

/// Applies the rules of section 6.2: a `Location` without a status is a redirect, and something
/// has to be said.
fn settle(
    said: Option<StatusCode>,
    headers: HeaderMap,
    length_bytes: usize,
) -> Result<Head, HeadError> {
    for (name, word) in [
        (header::CONTENT_TYPE, "Content-Type"),
        (header::LOCATION, "Location"),
        (header::CONTENT_LENGTH, "Content-Length"),
    ] {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(HeadError::Twice(word));
        }
    }
    let has_location = headers.contains_key(header::LOCATION);
    if said.is_none() && !has_location && !headers.contains_key(header::CONTENT_TYPE) {
        return Err(HeadError::NothingSaid);
    }
    let default = if has_location {
        StatusCode::FOUND
    } else {
        StatusCode::OK
    };
    Ok(Head {
        status: said.unwrap_or(default),
        headers,
        length_bytes,
    })
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
