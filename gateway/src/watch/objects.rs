use std::{collections::HashMap, sync::Arc};

use kube::{Resource, runtime::watcher::Event};

use super::key;

/// Namespace and name.
pub(super) type Key = (String, String);

/// A set of objects, built from a watch. While a new list comes in, the old one stands.
#[derive(Debug)]
pub(super) struct Objects<T> {
    current: HashMap<Key, Arc<T>>,
    next: HashMap<Key, Arc<T>>,
    complete: bool,
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self {
            current: HashMap::new(),
            next: HashMap::new(),
            complete: false,
        }
    }
}

impl<T> Objects<T> {
    /// Takes an event. Returns whether the set has changed.
    pub(super) fn take<E: Resource>(
        &mut self,
        event: Event<E>,
        parsed: impl Fn(E) -> Option<T>,
    ) -> bool {
        match event {
            Event::Init => {
                self.next.clear();
                false
            }
            Event::InitApply(object) => {
                let key = key(object.meta());
                let known = self.current.get(&key).cloned();
                if let Some(object) = parsed(object).map(Arc::new).or(known) {
                    self.next.insert(key, object);
                }
                false
            }
            Event::InitDone => {
                self.current = std::mem::take(&mut self.next);
                self.complete = true;
                true
            }
            Event::Apply(object) => {
                let key = key(object.meta());
                let object = parsed(object);
                let understood = object.is_some();
                if let Some(object) = object {
                    self.current.insert(key, Arc::new(object));
                }
                understood
            }
            Event::Delete(object) => self.current.remove(&key(object.meta())).is_some(),
        }
    }

    /// The set, once it was heard in full.
    pub(super) const fn complete(&self) -> Option<&HashMap<Key, Arc<T>>> {
        if self.complete {
            Some(&self.current)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;

    use super::*;

    fn object(name: &str, understood: bool) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.metadata.name = Some(name.into());
        object.immutable = Some(understood);
        object
    }

    fn parsed(object: ConfigMap) -> Option<ConfigMap> {
        object.immutable.unwrap_or_default().then_some(object)
    }

    fn names(objects: &Objects<ConfigMap>) -> Vec<String> {
        let mut names: Vec<_> = objects
            .complete()
            .unwrap()
            .keys()
            .map(|(_, name)| name.clone())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn the_old_list_stands_until_the_new_one_is_complete() {
        let mut objects = Objects::default();
        assert!(!objects.take(Event::Init, parsed));
        assert!(!objects.take(Event::InitApply(object("a", true)), parsed));
        assert!(objects.complete().is_none());
        assert!(objects.take(Event::InitDone, parsed));
        assert_eq!(names(&objects), ["a"]);
        objects.take(Event::Init, parsed);
        objects.take(Event::InitApply(object("b", true)), parsed);
        assert_eq!(names(&objects), ["a"]);
        objects.take(Event::InitDone, parsed);
        assert_eq!(names(&objects), ["b"]);
    }

    #[test]
    fn an_object_that_is_not_understood_breaks_only_itself_and_not_what_was_known() {
        let mut objects = Objects::default();
        for event in [
            Event::Init,
            Event::InitApply(object("a", true)),
            Event::InitApply(object("strange", false)),
            Event::InitDone,
        ] {
            objects.take(event, parsed);
        }
        assert_eq!(names(&objects), ["a"]);
        assert!(!objects.take(Event::Apply(object("a", false)), parsed));
        objects.take(Event::Init, parsed);
        objects.take(Event::InitApply(object("a", false)), parsed);
        objects.take(Event::InitDone, parsed);
        assert_eq!(names(&objects), ["a"]);
        assert!(objects.take(Event::Delete(object("a", false)), parsed));
        assert!(names(&objects).is_empty());
    }
}
