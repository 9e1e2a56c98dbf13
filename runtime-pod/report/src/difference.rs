use std::{
    collections::{HashMap, HashSet},
    hash::Hash,
};

/// What one reader of a stream has been told, and so what it has yet to hear.
#[derive(Debug)]
pub struct Difference<K, L> {
    told: HashMap<K, L>,
}

impl<K, L> Default for Difference<K, L> {
    fn default() -> Self {
        Self {
            told: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash, L: Clone + PartialEq> Difference<K, L> {
    /// Lines that bring the reader up to `picture`: each that is new or changed, in the picture's
    /// order, then what `gone` says of each that is there no more, if anything.
    pub fn lines(
        &mut self,
        picture: impl IntoIterator<Item = (K, L)>,
        gone: impl Fn(&K) -> Option<L>,
    ) -> Vec<L> {
        let mut lines = Vec::new();
        let mut present = HashSet::new();
        for (key, line) in picture {
            if self.told.get(&key) != Some(&line) {
                lines.push(line.clone());
                self.told.insert(key.clone(), line);
            }
            present.insert(key);
        }
        self.told.retain(|key, _| {
            let stays = present.contains(key);
            if !stays {
                lines.extend(gone(key));
            }
            stays
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_what_is_new_changed_and_gone() {
        let mut reader = Difference::default();
        let gone = |key: &&str| Some(format!("{key} gone"));
        let first = reader.lines([("a", "1".to_owned()), ("b", "1".to_owned())], gone);
        assert_eq!(first, ["1", "1"]);
        assert_eq!(
            reader.lines([("a", "1".to_owned()), ("b", "2".to_owned())], gone),
            ["2"]
        );
        assert_eq!(reader.lines([("b", "2".to_owned())], gone), ["a gone"]);
        assert!(reader.lines([("b", "2".to_owned())], gone).is_empty());
    }
}
