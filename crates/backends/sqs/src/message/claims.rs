//! Payloads that SQS does not take, as files in a directory that all processes share. A file is durable before the message
//! that claims it is sent, and is removed after the message was finished.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use serde::{Deserialize, Serialize};
use tokio::fs::{self, File};
use tokio::io::AsyncWriteExt;

/// The name of a payload that lies beside SQS.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claim {
    /// The name of its file.
    pub(crate) name: String,
    /// Its bytes.
    pub(crate) bytes: u64,
    /// Their checksum.
    pub(crate) crc: u32,
}

/// The directory.
pub(crate) struct Claims {
    path: PathBuf,
}

impl Claims {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes a payload under this name, which must be new.
    pub(crate) async fn put(&self, name: String, payload: &Payload) -> Result<Claim> {
        const WRITE: &str = "write claim";
        let failed = |error: std::io::Error| Error::new(Kind::Io, WRITE, name.as_str()).because(error);
        let (unfinished, finished) = (self.path.join(format!("{name}.part")), self.path.join(&name));
        fs::create_dir_all(&self.path).await.map_err(failed)?;
        let mut file = File::create_new(&unfinished).await.map_err(failed)?;
        file.write_all(payload).await.map_err(failed)?;
        file.sync_all().await.map_err(failed)?;
        fs::rename(&unfinished, &finished).await.map_err(failed)?;
        File::open(&self.path).await.map_err(failed)?.sync_all().await.map_err(failed)?;
        Ok(Claim { bytes: payload.len() as u64, crc: crc32c::crc32c(payload), name })
    }

    /// The payload that is claimed. `NotFound` if it is not there, `Damaged` if it is another one.
    pub(crate) async fn get(&self, claim: &Claim) -> Result<Payload> {
        let refuse = |kind| Error::new(kind, "redeem claim", claim.name.as_str());
        let bytes = match fs::read(self.file(claim)?).await {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(refuse(Kind::NotFound)),
            Err(error) => return Err(refuse(Kind::Io).because(error)),
        };
        if bytes.len() as u64 != claim.bytes || crc32c::crc32c(&bytes) != claim.crc {
            return Err(refuse(Kind::Damaged));
        }
        Ok(bytes.into())
    }

    /// A message that claims it was sent anew: whoever removes old files must see that it is in use.
    pub(crate) async fn touch(&self, claim: &Claim) {
        let Ok(path) = self.file(claim) else { return };
        if let Ok(file) = File::options().write(true).open(path).await {
            let file = file.into_std().await;
            let _ = tokio::task::spawn_blocking(move || file.set_modified(SystemTime::now())).await;
        }
    }

    /// Nobody claims it any more.
    pub(crate) async fn remove(&self, claim: &Claim) {
        if let Ok(path) = self.file(claim) {
            let _ = fs::remove_file(path).await;
        }
    }

    /// A name comes from a message, and must not lead out of the directory.
    fn file(&self, claim: &Claim) -> Result<PathBuf> {
        let plain = !claim.name.is_empty()
            && Path::new(&claim.name).file_name().is_some_and(|n| n == claim.name.as_str());
        if plain {
            Ok(self.path.join(&claim.name))
        } else {
            Err(Error::new(Kind::Damaged, "redeem claim", "its name is none"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_claim_brings_its_payload_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::new(folder.path().join("claims"));
        let claim = claims.put("one".into(), &"payload".into()).await.unwrap();
        assert_eq!(claims.get(&claim).await.unwrap(), "payload".into());
        claims.touch(&claim).await;
        std::fs::write(folder.path().join("claims/one"), "another").unwrap();
        assert_eq!(claims.get(&claim).await.unwrap_err().kind(), Kind::Damaged);
        claims.remove(&claim).await;
        assert_eq!(claims.get(&claim).await.unwrap_err().kind(), Kind::NotFound);
    }

    #[tokio::test]
    async fn no_name_leads_out_of_the_directory() {
        let folder = tempfile::tempdir().unwrap();
        let claims = Claims::new(folder.path().join("claims"));
        std::fs::write(folder.path().join("secret"), "x").unwrap();
        for name in ["../secret", "..", "", "/etc/passwd", "a/b"] {
            let claim = Claim { name: name.into(), bytes: 1, crc: 0 };
            assert_eq!(claims.get(&claim).await.unwrap_err().kind(), Kind::Damaged, "{name}");
        }
    }
}
