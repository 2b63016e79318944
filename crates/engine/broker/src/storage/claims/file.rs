//! The file of one claimed payload: its name, its bytes, and whether they are what was written.

use forebay_core::error::{Error, Kind, Result};
use forebay_core::payload::Payload;
use forebay_core::ports::files::Files;

use crate::records::message::Claim;

/// The name of a claimed file.
pub(crate) fn name(file: u64) -> String {
    format!("claim-{file:020}.bin")
}

/// The number of a claimed file; `None` for files that are something else.
pub(crate) fn parse(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("claim-")?.strip_suffix(".bin")?;
    let whole = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    whole.then(|| digits.parse().ok()).flatten()
}

/// The claim to a payload in that file. `TooLarge` beyond four gigabytes, which no message has.
pub(crate) fn claim(file: u64, payload: &[u8]) -> Result<Claim> {
    let too_large = |_| Error::new(Kind::TooLarge, "write payload file", name(file));
    let length = u32::try_from(payload.len()).map_err(too_large)?;
    Ok(Claim { file, length, checksum: crc32c::crc32c(payload) })
}

/// Writes the payload. It is durable once the names are synced, too. `Err`: some of the file may be there.
pub(crate) fn write(files: &dyn Files, file: u64, payload: &[u8]) -> Result<()> {
    let file = files.create(&name(file), payload.len() as u64)?;
    file.write_at(payload, 0)?;
    file.sync()
}

/// The payload that was written. `Damaged`: the file is not there, or not what it was.
pub(crate) fn read(files: &dyn Files, claim: Claim) -> Result<Payload> {
    let file = open(files, claim)?;
    let mut bytes = vec![0; claim.length as usize];
    file.read_at(&mut bytes, 0)?;
    if crc32c::crc32c(&bytes) == claim.checksum {
        return Ok(bytes.into());
    }
    Err(damaged(claim.file).because("its checksum is another"))
}

/// Whether the file is there with its length, without reading it.
pub(crate) fn look(files: &dyn Files, claim: Claim) -> Result<()> {
    open(files, claim).map(drop)
}

fn open(files: &dyn Files, claim: Claim) -> Result<Box<dyn forebay_core::ports::files::File>> {
    let file = match files.open(&name(claim.file)) {
        Err(error) if error.kind() == Kind::NotFound => {
            return Err(damaged(claim.file).because("it is not there"));
        }
        opened => opened?,
    };
    let length = file.len()?;
    if length == u64::from(claim.length) {
        return Ok(file);
    }
    Err(damaged(claim.file).because(format!("it has {length} bytes and should have {}", claim.length)))
}

/// Removes the file, if it is there.
pub(crate) fn remove(files: &dyn Files, file: u64) -> Result<()> {
    match files.remove(&name(file)) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        removed => removed,
    }
}

/// Gives the file, if it is there, a name under which nothing uses or removes it.
pub(crate) fn set_aside(files: &dyn Files, file: u64) -> Result<()> {
    let name = name(file);
    match files.rename(&name, &format!("damaged-{name}")) {
        Err(error) if error.kind() == Kind::NotFound => Ok(()),
        renamed => renamed,
    }
}

fn damaged(file: u64) -> Error {
    Error::new(Kind::Damaged, "read payload file", name(file))
}
