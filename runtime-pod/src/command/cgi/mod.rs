//! The CGI contract (RFC 3875): the request in variables, arguments and on standard input; head
//! and body of the answer on standard output.

mod arguments;
pub mod head;
mod output;
mod variables;

pub(super) use arguments::arguments;
pub(super) use output::Output;
pub(super) use variables::variables;
