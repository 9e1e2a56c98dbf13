//! Which contract a command keeps, and how many instructions it may use: a pure decision.

use wasmfn_crds::spec::{Command, Contract};

use super::preset;

/// Custom section in which a module says which contract it keeps: `CGI` or `JSON`.
pub const SECTION: &str = "wasmfn:contract";

/// How a command is called.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Terms {
    /// What it reads and writes.
    pub contract: Contract,
    /// Most instructions of one call; not counted, where unset.
    pub instructions: Option<u64>,
}

/// What a spec asks for in `command`.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub struct Asked {
    contract: Option<Contract>,
    instructions: Option<u64>,
}

impl Asked {
    /// Reads `spec.command`.
    #[must_use]
    pub fn of(command: Option<&Command>) -> Self {
        Self {
            contract: command.and_then(|command| command.contract),
            instructions: command
                .and_then(|command| command.instructions)
                .and_then(|count| u64::try_from(count).ok()),
        }
    }
}

/// Whether a function wants its guest's instructions counted, as far as its spec alone says.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Counting {
    /// Where the module itself names the JSON contract.
    #[default]
    AsTheModuleSays,
    /// In any case.
    Always,
    /// In no case.
    Never,
}

impl Counting {
    /// What this spec wants.
    #[must_use]
    pub const fn of(asked: Asked) -> Self {
        match (asked.contract, asked.instructions) {
            (_, Some(_)) | (Some(Contract::JSON), None) => Self::Always,
            (Some(Contract::CGI), None) => Self::Never,
            (None, None) => Self::AsTheModuleSays,
        }
    }

    /// Whether instructions are counted, where the module names `section`.
    #[must_use]
    pub const fn counts(self, section: Option<Contract>) -> bool {
        match self {
            Self::AsTheModuleSays => matches!(section, Some(Contract::JSON)),
            Self::Always => true,
            Self::Never => false,
        }
    }

    /// A word for it, in the names of compiled code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::AsTheModuleSays => "as-the-module-says",
            Self::Always => "counted",
            Self::Never => "uncounted",
        }
    }
}

/// Settles the terms. `spec.command` has the first word, then the module's own section. A budget
/// of instructions without either means JSON, whose budget is a part of it. What says nothing is
/// CGI: every program that prints a head and a body keeps it.
#[must_use]
pub fn settle(asked: Asked, section: Option<Contract>) -> Terms {
    let budget = asked.instructions;
    let contract = asked.contract.or(section).unwrap_or(if budget.is_some() {
        Contract::JSON
    } else {
        Contract::CGI
    });
    let instructions = match contract {
        Contract::CGI => budget,
        Contract::JSON => Some(budget.unwrap_or(preset::INSTRUCTIONS)),
    };
    Terms {
        contract,
        instructions,
    }
}

/// What the section's text stands for; nothing, where it is neither word.
#[must_use]
pub fn parse_section(text: &[u8]) -> Option<Contract> {
    match text.trim_ascii() {
        b"CGI" => Some(Contract::CGI),
        b"JSON" => Some(Contract::JSON),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_wins_then_the_module_then_the_budget() {
        let none = None;
        let (cgi, json) = (Some(Contract::CGI), Some(Contract::JSON));
        let cases = [
            (none, None, none, Contract::CGI, None),
            (none, None, json, Contract::JSON, Some(11_000_000)),
            (cgi, None, json, Contract::CGI, None),
            (json, None, cgi, Contract::JSON, Some(11_000_000)),
            (none, Some(5), none, Contract::JSON, Some(5)),
            (none, Some(5), cgi, Contract::CGI, Some(5)),
            (cgi, Some(5), json, Contract::CGI, Some(5)),
            (json, Some(5), none, Contract::JSON, Some(5)),
        ];
        for (contract, instructions, section, expected, budget) in cases {
            let command = Command {
                contract,
                instructions,
            };
            let asked = Asked::of(Some(&command));
            let terms = settle(asked, section);
            let case = format!("{asked:?} {section:?}");
            assert_eq!(terms.contract, expected, "{case}");
            assert_eq!(terms.instructions, budget, "{case}");
            let counts = Counting::of(asked).counts(section);
            assert_eq!(counts, budget.is_some(), "{case}");
        }
        assert_eq!(settle(Asked::of(None), None).contract, Contract::CGI);
    }

    #[test]
    fn a_section_holds_one_word() {
        assert_eq!(parse_section(b"JSON"), Some(Contract::JSON));
        assert_eq!(parse_section(b"CGI\n"), Some(Contract::CGI));
        assert_eq!(parse_section(b"json"), None);
        assert_eq!(parse_section(b""), None);
    }
}
