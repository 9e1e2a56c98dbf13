//! What to run: a folder, a file or an image.

use std::path::{Path, PathBuf};

use wasmfn_runtime::registry::{Reference, RegistryError};

/// What the user named.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Subject {
    /// A folder with a `Cargo.toml`.
    Folder(PathBuf),
    /// A module.
    File(PathBuf),
    /// An OCI reference.
    Image(String),
}

/// Why what the user named cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum SubjectError {
    /// It looks like a path, and there is none.
    #[error("there is no {}; name a folder with a Cargo.toml, a .wasm file or an OCI reference", .0.display())]
    Absent(PathBuf),
    /// A folder without a package.
    #[error("{} holds no Cargo.toml; name a folder with a Rust guest, or a .wasm file", .0.display())]
    NoPackage(PathBuf),
    /// It may be meant as a folder as well as an image of Docker Hub.
    #[error("there is no folder {text}; for an image of Docker Hub write docker.io/{text}")]
    Ambiguous {
        /// What the user wrote.
        text: String,
    },
    /// Neither a path nor a reference.
    #[error("there is no file or folder \"{text}\", and it is no image either")]
    Neither {
        /// What the user wrote.
        text: String,
        /// Why it is no reference.
        source: Box<RegistryError>,
    },
}

impl Subject {
    /// A path where there is one, else an image.
    ///
    /// # Errors
    /// [`SubjectError`].
    pub fn find(text: &str) -> Result<Self, SubjectError> {
        let path = Path::new(text);
        if path.is_dir() {
            if path.join("Cargo.toml").is_file() {
                return Ok(Self::Folder(path.to_owned()));
            }
            return Err(SubjectError::NoPackage(path.to_owned()));
        }
        if path.is_file() {
            if path.file_name().is_some_and(|name| name == "Cargo.toml") {
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                return Ok(Self::Folder(folder.unwrap_or(Path::new(".")).to_owned()));
            }
            return Ok(Self::File(path.to_owned()));
        }
        if is_path(text) {
            return Err(SubjectError::Absent(path.to_owned()));
        }
        match text.parse::<Reference>() {
            Ok(_) if !names_registry(text) => Err(SubjectError::Ambiguous {
                text: text.to_owned(),
            }),
            Ok(_) => Ok(Self::Image(text.to_owned())),
            Err(source) => Err(SubjectError::Neither {
                text: text.to_owned(),
                source: Box::new(source),
            }),
        }
    }

    /// A function name that says what runs: a DNS label of at most 50 characters.
    #[must_use]
    pub fn function_name(&self) -> String {
        let name = match self {
            Self::Folder(path) => {
                let full = path.canonicalize().unwrap_or_else(|_| path.clone());
                full.file_name()
                    .map(|name| name.to_string_lossy().into_owned())
            }
            Self::File(path) => path
                .file_stem()
                .map(|name| name.to_string_lossy().into_owned()),
            Self::Image(image) => image
                .parse::<Reference>()
                .ok()
                .and_then(|reference| reference.repository().rsplit('/').next().map(str::to_owned)),
        };
        label(&name.unwrap_or_default())
    }
}

/// Whether a reference says which registry it is of. Where it says none, docker takes Docker Hub.
fn names_registry(reference: &str) -> bool {
    let first = reference.split_once('/').map(|(first, _)| first);
    first.is_some_and(|first| first.contains(['.', ':']) || first == "localhost")
}

/// References never begin like this, and a name with this ending is meant as a file.
fn is_path(text: &str) -> bool {
    text.starts_with(['.', '/', '~'])
        || text.ends_with('/')
        || Path::new(text)
            .extension()
            .is_some_and(|extension| extension.eq_ignore_ascii_case("wasm"))
}

fn label(name: &str) -> String {
    const LENGTH_MAX: usize = 50;
    let clean: String = name
        .to_ascii_lowercase()
        .chars()
        .map(|letter| {
            if letter.is_ascii_alphanumeric() {
                letter
            } else {
                '-'
            }
        })
        .collect();
    let clean = clean.trim_start_matches(|letter: char| !letter.is_ascii_lowercase());
    let clean = clean.trim_start_matches("wasmfn-");
    let clean: String = clean.chars().take(LENGTH_MAX).collect();
    match clean.trim_matches('-') {
        "" => "function".to_owned(),
        label => label.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_come_before_images() {
        let folder = tempfile::tempdir().unwrap();
        let package = folder.path().join("guest");
        std::fs::create_dir(&package).unwrap();
        let text = package.to_str().unwrap();
        assert!(matches!(
            Subject::find(text),
            Err(SubjectError::NoPackage(_))
        ));
        let manifest = package.join("Cargo.toml");
        std::fs::write(&manifest, "").unwrap();
        assert_eq!(
            Subject::find(text).unwrap(),
            Subject::Folder(package.clone())
        );
        let by_manifest = Subject::find(manifest.to_str().unwrap()).unwrap();
        assert_eq!(by_manifest, Subject::Folder(package.clone()));
        assert_eq!(by_manifest.function_name(), "guest");
        let module = package.join("My Module.wasm");
        std::fs::write(&module, "").unwrap();
        let subject = Subject::find(module.to_str().unwrap()).unwrap();
        assert_eq!(subject, Subject::File(module));
        assert_eq!(subject.function_name(), "my-module");
    }

    #[test]
    fn what_is_not_there_is_an_image_or_an_error() {
        let image = Subject::find("r.example/team/hello:v1").unwrap();
        assert_eq!(image, Subject::Image("r.example/team/hello:v1".to_owned()));
        assert_eq!(image.function_name(), "hello");
        for text in ["./nowhere", "/nowhere/at/all", "nowhere.wasm", "nowhere/"] {
            let error = Subject::find(text).unwrap_err();
            assert!(matches!(error, SubjectError::Absent(_)), "{text}: {error}");
        }
        for text in ["examples/helo", "hello", "hello:v1"] {
            let error = Subject::find(text).unwrap_err().to_string();
            assert!(error.contains("no folder"), "{error}");
            assert!(error.contains(&format!("docker.io/{text}")), "{error}");
        }
        let hub = Subject::find("docker.io/examples/hello").unwrap();
        assert!(matches!(hub, Subject::Image(_)));
        let error = Subject::find("Not An Image").unwrap_err();
        assert!(matches!(error, SubjectError::Neither { .. }), "{error}");
    }

    #[test]
    fn names_become_labels() {
        let long = "x".repeat(60);
        for (name, expected) in [
            ("hello", "hello"),
            ("My_Module.v2", "my-module-v2"),
            ("1st-try", "st-try"),
            ("wasmfn-hello", "hello"),
            ("---", "function"),
            ("", "function"),
            (long.as_str(), &"x".repeat(50)),
        ] {
            assert_eq!(label(name), expected);
        }
    }
}
