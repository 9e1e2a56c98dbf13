/// Why a request has to wait.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum Cause {
    /// There is no pod that could be asked: the function comes from zero, or its pods are out of
    /// reach.
    NoPod,
    /// Pods do not have the function yet, or are leaving.
    Loading,
    /// Pods that have it are full.
    #[default]
    Full,
}

impl Cause {
    /// All causes.
    pub const ALL: [Self; 3] = [Self::NoPod, Self::Loading, Self::Full];

    /// The word in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoPod => "NoPod",
            Self::Loading => "Loading",
            Self::Full => "Full",
        }
    }
}
