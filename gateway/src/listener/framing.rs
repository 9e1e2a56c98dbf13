//! Where requests begin and end in the bytes of an HTTP/1.1 connection, read strictly.
//!
//! hyper puts up with what RFC 9112 lets a server put up with: bare line feeds, a length beside
//! `chunked`, the same length twice, a fragment in the target. Whoever stands in front may read such
//! bytes otherwise, and what one takes for a body the other takes for a request. So nothing that two
//! readers could read in two ways comes as far as hyper; the rest of the grammar is hyper's.

/// Hexadecimal digits of a chunk's size: as many as 64 bits have.
const SIZE_DIGITS: usize = 16;

/// Bytes that are not passed on, and what they were to be part of.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Refused {
    /// How many of the bytes that were read may be passed on.
    pub passed: usize,
    /// Whether they belong to a body: its request has been passed on already.
    pub in_body: bool,
}

/// The place in the bytes of a connection.
#[derive(Debug, Default)]
pub struct Framing {
    place: Place,
    /// What there is of the line that has not ended. hyper bounds heads and chunk lines and reads
    /// no further, and so bounds this.
    line: Vec<u8>,
    head: Head,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum Place {
    /// Between two requests, or in a head.
    #[default]
    Head,
    /// So many bytes before the end of a body.
    Body(u64),
    /// The line that says how long a chunk is.
    ChunkSize,
    /// So many bytes before the end of a chunk.
    Chunk(u64),
    /// The empty line after a chunk.
    ChunkEnd,
    /// The fields after the last chunk.
    Trailers,
}

/// What a head has said so far.
#[derive(Debug, Default)]
struct Head {
    begun: bool,
    length: Option<u64>,
    chunked: bool,
}

/// A line that two readers could read in two ways.
struct Ambiguous;

impl Framing {
    /// Whether a head has begun and is not complete.
    #[must_use]
    pub const fn is_in_head(&self) -> bool {
        matches!(self.place, Place::Head) && (self.head.begun || !self.line.is_empty())
    }

    /// Goes through `bytes`, the next of the connection.
    ///
    /// # Errors
    /// [`Refused`] at the first line that is not strictly one of HTTP/1.1. Nothing may be read
    /// after it.
    pub fn scan(&mut self, bytes: &[u8]) -> Result<(), Refused> {
        let mut passed = 0;
        while let Some(rest) = bytes.get(passed..).filter(|rest| !rest.is_empty()) {
            passed += match self.place {
                Place::Body(left) | Place::Chunk(left) => self.skip(left, rest.len()),
                Place::Head | Place::ChunkSize | Place::ChunkEnd | Place::Trailers => {
                    let in_body = self.place != Place::Head;
                    self.take_line(rest)
                        .map_err(|Ambiguous| Refused { passed, in_body })?
                }
            };
        }
        Ok(())
    }

    fn skip(&mut self, left: u64, available: usize) -> usize {
        let taken = usize::try_from(left).unwrap_or(usize::MAX).min(available);
        let left = left - taken as u64;
        self.place = match self.place {
            Place::Chunk(_) if left == 0 => Place::ChunkEnd,
            Place::Chunk(_) => Place::Chunk(left),
            _ if left == 0 => Place::Head,
            _ => Place::Body(left),
        };
        taken
    }

    /// Takes the rest of the line, or all there is of it. Returns how many bytes that are.
    fn take_line(&mut self, rest: &[u8]) -> Result<usize, Ambiguous> {
        let Some(end) = rest.iter().position(|byte| *byte == b'\n') else {
            self.line.extend_from_slice(rest);
            return Ok(rest.len());
        };
        if self.line.is_empty() {
            self.end_line(&rest[..end])?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(&rest[..end]);
            self.end_line(&line)?;
        }
        Ok(end + 1)
    }

    fn end_line(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let line = line.strip_suffix(b"\r").ok_or(Ambiguous)?;
        if line.contains(&b'\r') {
            return Err(Ambiguous);
        }
        match self.place {
            Place::Head if line.is_empty() => self.end_head()?,
            Place::Head if self.head.begun => self.head.field(line)?,
            Place::Head => self.head.begin(line)?,
            Place::ChunkSize => self.place = chunk(line)?,
            Place::ChunkEnd if line.is_empty() => self.place = Place::ChunkSize,
            Place::Trailers if line.is_empty() => self.place = Place::Head,
            Place::Trailers => {
                field(line)?;
            }
            Place::ChunkEnd | Place::Body(_) | Place::Chunk(_) => return Err(Ambiguous),
        }
        Ok(())
    }

    fn end_head(&mut self) -> Result<(), Ambiguous> {
        // Empty lines before a request are skipped (RFC 9112, 2.2).
        let head = std::mem::take(&mut self.head);
        self.place = match (head.chunked, head.length) {
            (true, Some(_)) => return Err(Ambiguous),
            (true, None) => Place::ChunkSize,
            (false, None | Some(0)) => Place::Head,
            (false, Some(bytes)) => Place::Body(bytes),
        };
        Ok(())
    }
}

impl Head {
    fn begin(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        self.begun = true;
        // hyper cuts a fragment off, and others may not.
        if line.contains(&b'#') {
            return Err(Ambiguous);
        }
        Ok(())
    }

    fn field(&mut self, line: &[u8]) -> Result<(), Ambiguous> {
        let (name, value) = field(line)?;
        if name.eq_ignore_ascii_case(b"content-length") {
            if self.length.is_some() {
                return Err(Ambiguous);
            }
            self.length = Some(length(value)?);
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            if self.chunked || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Ambiguous);
            }
            self.chunked = true;
        }
        Ok(())
    }
}

/// Name and value of a field. A line that goes on with the one before (RFC 9112, 5.2) is refused.
fn field(line: &[u8]) -> Result<(&[u8], &[u8]), Ambiguous> {
    let colon = line
        .iter()
        .position(|byte| *byte == b':')
        .ok_or(Ambiguous)?;
    let (name, value) = (&line[..colon], &line[colon + 1..]);
    if name.iter().any(u8::is_ascii_whitespace) {
        return Err(Ambiguous);
    }
    Ok((name, value.trim_ascii()))
}

/// A number as a length may be written: digits and nothing else.
fn length(value: &[u8]) -> Result<u64, Ambiguous> {
    if !value.iter().all(u8::is_ascii_digit) {
        return Err(Ambiguous);
    }
    let digits = std::str::from_utf8(value).map_err(|_| Ambiguous)?;
    digits.parse().map_err(|_| Ambiguous)
}

/// What comes after the line with a chunk's size and its extensions.
fn chunk(line: &[u8]) -> Result<Place, Ambiguous> {
    let end = line.iter().position(|byte| *byte == b';');
    let (size, extensions) = line.split_at(end.unwrap_or(line.len()));
    let is_size = size.len() <= SIZE_DIGITS && size.iter().all(u8::is_ascii_hexdigit);
    let is_text = |byte: &u8| *byte == b'\t' || !byte.is_ascii_control();
    if !is_size || !extensions.iter().all(is_text) {
        return Err(Ambiguous);
    }
    let digits = std::str::from_utf8(size).map_err(|_| Ambiguous)?;
    match u64::from_str_radix(digits, 16).map_err(|_| Ambiguous)? {
        0 => Ok(Place::Trailers),
        bytes => Ok(Place::Chunk(bytes)),
    }
}

#[cfg(test)]
mod tests;
