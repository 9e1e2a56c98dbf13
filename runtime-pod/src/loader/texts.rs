//! Copies of the texts that code from siblings names.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
    time::Duration,
};

use tokio::{sync::OnceCell, task::spawn_blocking, time::timeout};

use super::Loader;
use crate::{
    code::text::{Text, TextDigest},
    siblings::Siblings,
    store,
};

/// How long a text may take from all siblings together; then the code is made here.
const COPY_TIMEOUT: Duration = Duration::from_secs(60);

/// Texts that are being copied: of all whose code has the same, one copies it, for all of them.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<TextDigest, Weak<OnceCell<()>>>>);

impl Texts {
    fn copy(&self, digest: &TextDigest) -> Arc<OnceCell<()>> {
        let mut copies = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(copy) = copies.get(digest).and_then(Weak::upgrade) {
            return copy;
        }
        copies.retain(|_, copy| copy.strong_count() > 0);
        let copy = Arc::default();
        copies.insert(*digest, Arc::downgrade(&copy));
        copy
    }
}

impl Loader {
    /// Sees to it that the text of a sibling's code is there, if a sibling has it. Whether it is, shows
    /// when the code is taken.
    pub(super) async fn obtain_text(&self, text: Text) {
        let copy = self.texts.copy(&text.digest);
        copy.get_or_init(|| async move {
            let code = Arc::clone(&self.code);
            let is_there = move || code.store().texts()?.find(&text.digest);
            let is_there = spawn_blocking(is_there).await.ok().flatten().is_some();
            if let (false, Some(siblings)) = (is_there, &self.siblings)
                && let Err(error) = self.copy_text(text, siblings).await
            {
                tracing::warn!(digest = %text.digest, %error, "a text could not be copied");
            }
        })
        .await;
    }

    async fn copy_text(&self, text: Text, siblings: &Siblings) -> io::Result<()> {
        let Some(texts) = self.code.store().texts() else {
            return Ok(());
        };
        let draft = texts.draft(&text)?;
        let is_right = move |copy: &_| store::check_text(&text, copy);
        let copying = siblings.copy_text(&text, draft.writer()?, is_right);
        if !timeout(COPY_TIMEOUT, copying).await? {
            return Err(io::Error::other("no sibling has it"));
        }
        let code = Arc::clone(&self.code);
        let accept = move || match code.store().texts() {
            Some(texts) => texts.accept(draft).map(|_| ()),
            None => Ok(()),
        };
        spawn_blocking(accept).await.map_err(io::Error::other)?
    }
}
