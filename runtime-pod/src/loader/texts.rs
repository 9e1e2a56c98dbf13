use std::{
    collections::HashMap,
    io,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use tokio::task::spawn_blocking;

use super::Loader;
use crate::{
    code::text::{Text, TextDigest},
    turns::Demand,
};

/// Texts that are being copied: of all whose code has the same, one copies it.
#[derive(Debug, Default)]
pub(crate) struct Texts(Mutex<HashMap<TextDigest, Weak<tokio::sync::Mutex<()>>>>);

impl Texts {
    fn place(&self, digest: &TextDigest) -> Arc<tokio::sync::Mutex<()>> {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(place) = places.get(digest).and_then(Weak::upgrade) {
            return place;
        }
        places.retain(|_, place| place.strong_count() > 0);
        let place = Arc::default();
        places.insert(*digest, Arc::downgrade(&place));
        place
    }
}

impl Loader {
    /// Sees to it that the text of a sibling's code is there, if a sibling has it. Whether it is, shows
    /// when it is mapped.
    pub(super) async fn obtain_text(&self, text: Text, demand: &Arc<Demand>) -> io::Result<()> {
        let digest = text.digest;
        let place = self.texts.place(&digest);
        let _copying = place.lock().await;
        let code = Arc::clone(&self.code);
        let is_there = move || code.store().texts()?.find(&digest);
        if blocking(is_there).await?.is_some() {
            return Ok(());
        }
        let (Some(texts), Some(siblings)) = (self.code.store().texts(), &self.siblings) else {
            return Ok(());
        };
        let draft = texts.draft(&text)?;
        let is_copied = {
            let _turn = self.turns.turn(demand).await;
            siblings.copy_text(&digest, draft.writer()?).await
        };
        if !is_copied {
            return Ok(());
        }
        let code = Arc::clone(&self.code);
        let accept = move || {
            code.store()
                .texts()
                .map(|texts| texts.accept(draft))
                .transpose()
        };
        if blocking(accept).await?? == Some(false) {
            tracing::warn!(%digest, "a sibling's text is not what its code names");
        }
        Ok(())
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.map_err(io::Error::other)
}
