//! The environment as it was on the thread that may read it.
//!
//! `getenv` beside another thread's `putenv()` is undefined behaviour, and a
//! PHP script may call `putenv()` at any moment. So the environment is read
//! once, by the thread that runs PHP, and everything here works on the copy.

use std::collections::HashMap;
use std::path::PathBuf;

/// A copy of `AWS_*` and `HOME`.
#[derive(Clone, Default)]
pub struct AwsEnv(HashMap<String, String>);

impl AwsEnv {
    /// Reads the process environment: only on the thread that also writes it.
    pub fn snapshot() -> AwsEnv {
        std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .collect()
    }

    /// A variable's value; a variable set to nothing counts as not set.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(|v| v.trim()).filter(|v| !v.is_empty())
    }

    /// A file named by a variable, or by its place under `~/.aws`.
    pub(crate) fn file(&self, name: &str, default: &str) -> Option<PathBuf> {
        let home = self.get("HOME").map(PathBuf::from);
        match self.get(name) {
            Some(path) => match path.strip_prefix("~/") {
                Some(rest) => Some(home?.join(rest)),
                None => Some(path.into()),
            },
            None => Some(home?.join(".aws").join(default)),
        }
    }
}

/// Keeps what this crate reads, drops the rest.
impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for AwsEnv {
    fn from_iter<T: IntoIterator<Item = (N, V)>>(vars: T) -> AwsEnv {
        AwsEnv(
            vars.into_iter()
                .map(|(name, value)| (name.into(), value.into()))
                .filter(|(name, _)| name.starts_with("AWS_") || name == "HOME")
                .collect(),
        )
    }
}

/// Names only: the values are secrets.
impl std::fmt::Debug for AwsEnv {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}
