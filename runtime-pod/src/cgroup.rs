//! How much memory this process may use: its cgroup's limit, or the machine's memory.

use std::path::Path;

/// Share of the limit that guests, code and compilation may use; the rest is the process's own.
const BUDGET_PERCENT: u64 = 80;

/// Budget where neither a limit nor the machine's memory can be read.
const FALLBACK_BYTES: u64 = 1 << 30;

/// The memory budget of this process, in bytes: 80 % of the smaller of its cgroup's limit and the
/// machine's memory.
#[must_use]
pub fn memory_budget_bytes() -> u64 {
    let limit = limit_bytes(Path::new("/"));
    limit.unwrap_or(FALLBACK_BYTES) / 100 * BUDGET_PERCENT
}

/// The smallest of the limits that apply, under a file system root.
fn limit_bytes(root: &Path) -> Option<u64> {
    let read = |path: &str| std::fs::read_to_string(root.join(path)).ok();
    let membership = read("proc/self/cgroup").unwrap_or_default();
    let files = limit_files(&membership);
    let limits = files
        .iter()
        .filter_map(|path| read(path))
        .filter_map(|text| parse_limit(&text));
    let machine = read("proc/meminfo").and_then(|text| parse_total(&text));
    limits.chain(machine).min()
}

/// Files that may hold a limit: of the cgroup as it is seen inside a container (its own root) and
/// of the path that `/proc/self/cgroup` names, for versions 2 and 1.
fn limit_files(membership: &str) -> Vec<String> {
    let mut files = vec![
        "sys/fs/cgroup/memory.max".to_owned(),
        "sys/fs/cgroup/memory/memory.limit_in_bytes".to_owned(),
    ];
    for line in membership.lines() {
        let mut parts = line.splitn(3, ':');
        let (Some(hierarchy), Some(controllers), Some(path)) =
            (parts.next(), parts.next(), parts.next())
        else {
            continue;
        };
        if hierarchy == "0" && controllers.is_empty() {
            files.push(format!("sys/fs/cgroup{path}/memory.max"));
        } else if controllers.split(',').any(|name| name == "memory") {
            files.push(format!("sys/fs/cgroup/memory{path}/memory.limit_in_bytes"));
        }
    }
    files
}

/// A limit file's number; none for `max`.
fn parse_limit(text: &str) -> Option<u64> {
    text.trim().parse().ok()
}

/// `MemTotal` of `/proc/meminfo`, in bytes.
fn parse_total(text: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Path and text of a file.
    type File = (&'static str, &'static str);

    fn root(files: &[File]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        root
    }

    const MACHINE: File = ("proc/meminfo", "MemTotal:       1024 kB\nMemFree: 3 kB\n");

    #[test]
    fn takes_the_smallest_limit_that_applies() {
        let cases: [(&[File], Option<u64>); 6] = [
            (&[], None),
            (&[MACHINE], Some(1 << 20)),
            (
                &[MACHINE, ("sys/fs/cgroup/memory.max", "max\n")],
                Some(1 << 20),
            ),
            (
                &[MACHINE, ("sys/fs/cgroup/memory.max", "4096\n")],
                Some(4096),
            ),
            (
                &[
                    MACHINE,
                    ("proc/self/cgroup", "0::/pod/container\n"),
                    ("sys/fs/cgroup/pod/container/memory.max", "8192\n"),
                ],
                Some(8192),
            ),
            (
                &[
                    MACHINE,
                    ("proc/self/cgroup", "7:cpu:/x\n9:memory:/pod\n"),
                    ("sys/fs/cgroup/memory/pod/memory.limit_in_bytes", "2048\n"),
                    (
                        "sys/fs/cgroup/memory/memory.limit_in_bytes",
                        "9223372036854771712\n",
                    ),
                ],
                Some(2048),
            ),
        ];
        for (files, expected) in cases {
            assert_eq!(limit_bytes(root(files).path()), expected, "{files:?}");
        }
    }

    #[test]
    fn this_machine_has_a_budget() {
        assert!(memory_budget_bytes() > 1 << 20);
    }
}
