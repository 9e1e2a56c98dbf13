//! A version of a function: the code of a module together with what the spec says about its requests.

use std::sync::Arc;

use wasmfn_crds::{
    Reason, WasmFunction,
    spec::{Value, ValueFrom, WasmFunctionSpec},
};
use wasmtime_wasi_config::WasiConfigVariables;

use super::reuse::{Reuse, ReuseError};
use crate::{
    code::Code,
    command::{
        contract::{self, Asked, Terms},
        preset,
    },
    engine::GuestKind,
    limits::{Limits, LimitsError},
    references::{MissingReference, References},
    sandbox::{
        AllowList, AllowListError,
        keyvalue::{GrantError, Granted, Space, Stores},
    },
};

/// Why a version cannot be made of a module and a spec.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A limit cannot be read.
    #[error(transparent)]
    Limits(#[from] LimitsError),
    /// What may be called cannot be read.
    #[error(transparent)]
    Outbound(#[from] AllowListError),
    /// A value that is kept elsewhere is not there.
    #[error("{field} names what is not there: {source}")]
    Missing {
        /// The field of the spec.
        field: String,
        /// What is missing.
        source: MissingReference,
    },
    /// A key-value store cannot be had.
    #[error(transparent)]
    Store(#[from] GrantError),
    /// A value has neither a text nor a place where it is kept.
    #[error("{0} must have exactly one of `value` and `valueFrom`")]
    NoValue(String),
    /// The spec says how a command is called, and the module is none.
    #[error(
        "`spec.command` must be unset: the module is a component, not a WASI preview 1 command"
    )]
    NoCommand,
    /// The spec wants a command's instances to be reused.
    #[error("`spec.reuse` must be unset: the module is a command, which ends with its request")]
    CommandReuse,
    /// The spec wants instances to be reused in a way that they cannot be.
    #[error(transparent)]
    Reuse(#[from] ReuseError),
}

impl SettingsError {
    /// The reason of the API that it stands for.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Limits(_)
            | Self::Outbound(_)
            | Self::NoValue(_)
            | Self::NoCommand
            | Self::CommandReuse
            | Self::Reuse(_) => Reason::InvalidSpec,
            Self::Missing { .. } | Self::Store(GrantError::Credentials { .. }) => {
                Reason::MissingSecret
            }
            Self::Store(GrantError::Unknown(_)) => Reason::UnknownStore,
            Self::Store(GrantError::Settings { .. }) => Reason::StoreUnusable,
        }
    }
}

/// What answers requests: code under the settings of one generation. Requests hold theirs to
/// their end, whatever comes after.
pub struct Version {
    code: Arc<Code>,
    generation: i64,
    revision: u64,
    limits: Limits,
    terms: Option<Terms>,
    reuse: Option<Reuse>,
    environment: Vec<(String, String)>,
    config: Arc<WasiConfigVariables>,
    allowed: Arc<AllowList>,
    stores: Arc<Granted>,
}

impl std::fmt::Debug for Version {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without environment and config, which hold secrets.
        formatter
            .debug_struct("Version")
            .field("code", &self.code)
            .field("generation", &self.generation)
            .finish_non_exhaustive()
    }
}

impl Version {
    /// Takes the settings of `function`; what it refers to is read now, at `revision`.
    ///
    /// # Errors
    /// [`SettingsError`] with the field that cannot be used.
    pub fn new(
        code: Arc<Code>,
        function: &WasmFunction,
        references: &References,
        stores: &Stores,
        revision: u64,
    ) -> Result<Self, SettingsError> {
        let spec = &function.spec;
        let namespace = function.metadata.namespace.as_deref().unwrap_or_default();
        let name = function.metadata.name.as_deref().unwrap_or_default();
        let space = Space::new(namespace, name);
        let mut environment = Vec::with_capacity(spec.env.len());
        for variable in &spec.env {
            let field = || format!("`spec.env` `{}`", variable.name);
            let value = Value {
                value: variable.value.clone(),
                value_from: variable.value_from.clone(),
            };
            environment.push((variable.name.clone(), read(&value, references, field)?));
        }
        let mut config = WasiConfigVariables::new();
        for (key, value) in &spec.config {
            let field = || format!("`spec.config` `{key}`");
            config.insert(key, read(value, references, field)?);
        }
        let terms = terms(code.guest(), spec)?;
        let limits = Limits::read(&spec.limits)?;
        let limits = match terms {
            Some(terms) => preset::apply(terms.contract, &spec.limits, limits),
            None => limits,
        };
        let reuse = spec.reuse.as_ref();
        let reuse = reuse.map(|reuse| Reuse::read(reuse, code.wasi()));
        let reuse = reuse.transpose()?;
        Ok(Self {
            code,
            generation: function.metadata.generation.unwrap_or_default(),
            revision,
            limits,
            terms,
            reuse,
            environment,
            config: Arc::new(config),
            allowed: Arc::new(AllowList::read(&spec.outbound, namespace)?),
            stores: Arc::new(stores.grant(space, &spec.stores, references)?),
        })
    }

    /// The module's code.
    #[must_use]
    pub const fn code(&self) -> &Arc<Code> {
        &self.code
    }

    /// Generation of the spec.
    #[must_use]
    pub const fn generation(&self) -> i64 {
        self.generation
    }

    /// State of the referred Secrets and `ConfigMap`s that it was made with.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// What each request may use.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// How the module is called, if it is a command.
    #[must_use]
    pub const fn terms(&self) -> Option<Terms> {
        self.terms
    }

    /// How its instances are reused; nothing, where each serves one request.
    #[must_use]
    pub const fn reuse(&self) -> Option<&Reuse> {
        self.reuse.as_ref()
    }

    /// Environment variables of the guest.
    #[must_use]
    pub fn environment(&self) -> &[(String, String)] {
        &self.environment
    }

    /// Values of `wasi:config`.
    #[must_use]
    pub const fn config(&self) -> &Arc<WasiConfigVariables> {
        &self.config
    }

    /// The key-value stores that the guest may open.
    #[must_use]
    pub const fn stores(&self) -> &Arc<Granted> {
        &self.stores
    }

    /// What the guest may call.
    #[must_use]
    pub const fn allowed(&self) -> &Arc<AllowList> {
        &self.allowed
    }
}

/// How a command is called; nothing for other guests.
fn terms(guest: GuestKind, spec: &WasmFunctionSpec) -> Result<Option<Terms>, SettingsError> {
    match guest {
        GuestKind::Command { .. } if spec.reuse.is_some() => Err(SettingsError::CommandReuse),
        GuestKind::Command { contract } => {
            let asked = Asked::of(spec.command.as_ref());
            Ok(Some(contract::settle(asked, contract)))
        }
        GuestKind::Component if spec.command.is_some() => Err(SettingsError::NoCommand),
        GuestKind::Component => Ok(None),
    }
}

fn read(
    value: &Value,
    references: &References,
    field: impl Fn() -> String,
) -> Result<String, SettingsError> {
    if let Some(text) = &value.value {
        return Ok(text.clone());
    }
    let missing = |source| SettingsError::Missing {
        field: field(),
        source,
    };
    match &value.value_from {
        Some(ValueFrom {
            secret_key_ref: Some(key),
            ..
        }) => references.secret_text(&key.name, &key.key).map_err(missing),
        Some(ValueFrom {
            config_map_key_ref: Some(key),
            ..
        }) => references
            .config_map_text(&key.name, &key.key)
            .map_err(missing),
        _ => Err(SettingsError::NoValue(field())),
    }
}
