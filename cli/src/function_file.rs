//! `function.yaml`: the `WasmFunction` whose settings apply, read as strictly as a cluster would.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kube::CustomResourceExt as _;
use serde::Deserialize as _;
use serde_json::{Value as Json, json};
use wasmfn_crds::WasmFunction;
use wasmfn_crds::spec::{EnvironmentVariable, Value};

use crate::schema;
use crate::subject::Subject;

/// The settings that a folder brings along.
const FUNCTION_FILE: &str = "function.yaml";
/// Stands for the image where a local module takes its place.
const LOCAL_IMAGE: &str = "localhost/wasmfn-run";

/// Why a file's function cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FunctionFileError {
    /// It cannot be read.
    #[error("{} cannot be read", .path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no YAML.
    #[error("{} is no valid YAML", .path.display())]
    NotYaml {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: serde_yaml::Error,
    },
    /// It holds no function, or several.
    #[error("{} must hold one WasmFunction of wasmfn.dev/v1alpha1, but holds {found}", .path.display())]
    NotOne {
        /// The file.
        path: PathBuf,
        /// What it holds instead.
        found: String,
    },
    /// A field is not as it must be.
    #[error("{}: `{field}` {problem}", .path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The function as a whole is not as it must be.
    #[error("{}: {problem}", .path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
    /// A value is kept in a cluster.
    #[error(
        "`{field}` is kept in a Secret or ConfigMap, and there is no cluster here; give it with `{option} {name}=VALUE`"
    )]
    Elsewhere {
        /// The field.
        field: String,
        /// The option that gives it here.
        option: &'static str,
        /// Its name.
        name: String,
    },
}

/// The file that a folder brings along, if it does.
#[must_use]
pub fn of_folder(subject: &Subject) -> Option<PathBuf> {
    match subject {
        Subject::Folder(folder) => Some(folder.join(FUNCTION_FILE)).filter(|path| path.is_file()),
        Subject::File(_) | Subject::Image(_) => None,
    }
}

/// Reads the function in `path`.
///
/// # Errors
/// [`FunctionFileError`], with the field.
pub fn read(path: &Path) -> Result<WasmFunction, FunctionFileError> {
    let text = fs::read_to_string(path).map_err(|source| FunctionFileError::Unreadable {
        path: path.to_owned(),
        source,
    })?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<WasmFunction, FunctionFileError> {
    let mut documents = Vec::new();
    for document in serde_yaml::Deserializer::from_str(text) {
        let document =
            Json::deserialize(document).map_err(|source| FunctionFileError::NotYaml {
                path: path.to_owned(),
                source,
            })?;
        if !document.is_null() {
            documents.push(document);
        }
    }
    let mut document = only_function(path, documents)?;
    if document["spec"].is_object() && document["spec"]["image"].is_null() {
        document["spec"]["image"] = json!(LOCAL_IMAGE);
    }
    if let Some(fault) = schema::first_fault(&document, &function_schema()) {
        return Err(FunctionFileError::Field {
            path: path.to_owned(),
            field: fault.field,
            problem: fault.problem,
        });
    }
    serde_json::from_value(document).map_err(|error| FunctionFileError::Invalid {
        path: path.to_owned(),
        problem: error.to_string(),
    })
}

fn only_function(path: &Path, mut documents: Vec<Json>) -> Result<Json, FunctionFileError> {
    let not_one = |found: String| FunctionFileError::NotOne {
        path: path.to_owned(),
        found,
    };
    if documents.len() > 1 {
        return Err(not_one(format!("{} documents", documents.len())));
    }
    let document = documents
        .pop()
        .ok_or_else(|| not_one("nothing".to_owned()))?;
    let word = |field: &str| document[field].as_str().unwrap_or("nothing").to_owned();
    let (version, kind) = (word("apiVersion"), word("kind"));
    if version == "wasmfn.dev/v1alpha1" && kind == "WasmFunction" {
        return Ok(document);
    }
    Err(not_one(format!(
        "`kind: {kind}` of `apiVersion: {version}`"
    )))
}

fn function_schema() -> Json {
    let definition = WasmFunction::crd();
    let version = definition.spec.versions.into_iter().next();
    let schema = version
        .and_then(|version| version.schema)
        .and_then(|schema| schema.open_api_v3_schema);
    let mut schema = serde_json::to_value(schema).expect("a schema is JSON");
    // The API server knows these of every object; the definition leaves them out.
    for field in ["apiVersion", "kind"] {
        schema["properties"][field] = json!({ "type": "string" });
    }
    schema["properties"]["metadata"] = json!({ "x-kubernetes-preserve-unknown-fields": true });
    schema
}

/// A function without a file.
#[must_use]
pub fn default_function(name: &str) -> WasmFunction {
    let spec = json!({ "image": LOCAL_IMAGE });
    let spec = serde_json::from_value(spec).expect("an image is all that a spec needs");
    WasmFunction::new(name, spec)
}

/// Puts what the command line gives over what the file says, and checks that nothing is left that
/// only a cluster could give. `path` is for errors.
///
/// # Errors
/// [`FunctionFileError::Elsewhere`] and [`FunctionFileError::Invalid`].
pub fn complete(
    mut function: WasmFunction,
    env: &[(String, String)],
    config: &[(String, String)],
    path: &Path,
) -> Result<WasmFunction, FunctionFileError> {
    let spec = &mut function.spec;
    // Whoever runs it here pulls with logins of their own.
    spec.image_pull_secrets.clear();
    for (name, value) in env {
        spec.env.retain(|variable| variable.name != *name);
        spec.env.push(EnvironmentVariable {
            name: name.clone(),
            value: Some(value.clone()),
            value_from: None,
        });
    }
    for (key, value) in config {
        let value = Value {
            value: Some(value.clone()),
            value_from: None,
        };
        spec.config.insert(key.clone(), value);
    }
    if let Some(variable) = spec
        .env
        .iter()
        .find(|variable| variable.value_from.is_some())
    {
        return Err(FunctionFileError::Elsewhere {
            field: format!("spec.env[{}].valueFrom", variable.name),
            option: "--env",
            name: variable.name.clone(),
        });
    }
    if let Some((key, _)) = spec
        .config
        .iter()
        .find(|(_, value)| value.value_from.is_some())
    {
        return Err(FunctionFileError::Elsewhere {
            field: format!("spec.config.{key}.valueFrom"),
            option: "--config",
            name: key.clone(),
        });
    }
    function
        .validate_cel()
        .map_err(|errors| FunctionFileError::Invalid {
            path: path.to_owned(),
            problem: errors
                .into_vec()
                .into_iter()
                .map(|error| error.to_string())
                .collect::<Vec<_>>()
                .join("; "),
        })?;
    Ok(function)
}

#[cfg(test)]
#[path = "function_file_tests.rs"]
mod tests;
