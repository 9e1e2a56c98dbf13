use http::Response;
use wasmfn_crds::names::REASON_HEADER;

/// What became of a request, in few enough words for a histogram each.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub enum Outcome {
    /// The guest has answered, with a status of this class.
    Guest(u16),
    /// wasmfn has answered instead, with a status of this class.
    Wasmfn(u16),
    /// Its client gave it up before there was an answer.
    Abandoned,
}

impl Outcome {
    /// What an answer says.
    #[must_use]
    pub fn of<B>(response: &Response<B>) -> Self {
        let class = response.status().as_u16() / 100;
        if response.headers().contains_key(REASON_HEADER) {
            Self::Wasmfn(class)
        } else {
            Self::Guest(class)
        }
    }

    /// Who has answered, and with which class of status.
    pub(super) fn labels(self) -> [(&'static str, String); 2] {
        let (by, class) = match self {
            Self::Guest(class) => ("guest", Some(class)),
            Self::Wasmfn(class) => ("wasmfn", Some(class)),
            Self::Abandoned => ("nobody", None),
        };
        let code = class.map(|class| format!("{class}xx"));
        [("by", by.to_owned()), ("code", code.unwrap_or_default())]
    }
}
