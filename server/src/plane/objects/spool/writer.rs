//! Appending to an upload: what is synced counts, and nothing else.

use std::io;
use std::path::PathBuf;
use std::rc::Rc;

use tokio::io::AsyncWriteExt;

use super::remove_if_there;
use super::upload::Upload;

/// Appends to an upload.
pub struct Writer {
    pub(super) file: tokio::fs::File,
    pub(super) upload: Rc<Upload>,
    /// Says where bytes begin that are not checked yet.
    pub(super) marker: Option<PathBuf>,
    pub(super) start: u64,
    pub(super) written: u64,
}

impl Writer {
    /// Appends; the caller keeps within the announced length.
    ///
    /// # Errors
    /// Where the disk refuses.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes).await?;
        self.written += bytes.len() as u64;
        Ok(())
    }

    /// Bytes that are missing.
    pub fn missing(&self) -> u64 {
        self.upload.about.length - self.written
    }

    /// Syncs what was written; it counts from now on.
    ///
    /// # Errors
    /// Where the disk refuses; then nothing of it counts.
    pub async fn keep(mut self) -> io::Result<()> {
        let synced = async {
            self.file.flush().await?;
            self.file.sync_data().await?;
            match &self.marker {
                Some(marker) => remove_if_there(marker).await,
                None => Ok(()),
            }
        };
        match synced.await {
            Ok(()) => {
                self.upload.offset.set(self.written);
                Ok(())
            }
            Err(error) => {
                self.discard().await;
                Err(error)
            }
        }
    }

    /// Takes back what was written.
    pub async fn discard(mut self) {
        // The write that is under way must not land behind the cut.
        let _ = self.file.flush().await;
        if let Err(error) = self.file.set_len(self.start).await {
            // The offset did not move, and the next writer cuts again.
            tracing::warn!(%error, upload = %self.upload.id, "refused bytes of an upload stay on the disk");
            return;
        }
        if let Some(marker) = &self.marker {
            let _ = remove_if_there(marker).await;
        }
    }
}
