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

/// First digits of statuses, zero for what is none.
const CLASSES: u16 = 6;

impl Outcome {
    /// How many there are.
    pub(super) const COUNT: usize = 2 * CLASSES as usize + 1;

    /// All of them, by their numbers.
    pub(super) fn all() -> impl Iterator<Item = Self> {
        let guest = (0..CLASSES).map(Self::Guest);
        let wasmfn = (0..CLASSES).map(Self::Wasmfn);
        guest.chain(wasmfn).chain([Self::Abandoned])
    }

    /// Which of them it is.
    pub(super) fn number(self) -> usize {
        let class = |class: u16| usize::from(if class < CLASSES { class } else { 0 });
        match self {
            Self::Guest(status) => class(status),
            Self::Wasmfn(status) => usize::from(CLASSES) + class(status),
            Self::Abandoned => 2 * usize::from(CLASSES),
        }
    }

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_outcome_has_a_number_of_its_own() {
        let numbers: Vec<_> = Outcome::all().map(Outcome::number).collect();
        assert_eq!(numbers, (0..Outcome::COUNT).collect::<Vec<_>>());
        assert_eq!(Outcome::Guest(9).number(), Outcome::Guest(0).number());
    }
}
