//! Sessions: values whose life slides.

use std::sync::Arc;

use forebay_cache::atomic::Sessions as RawSessions;
use forebay_core::error::Result;

use crate::codec::Codec;

/// Sessions of `T` by id, each of which ends when nobody has looked at it for some time. They are in the cache: one may be
/// forgotten earlier, and then its user signs in again.
///
/// Whoever knows an id has the session: make ids of at least 128 bits of the operating system's randomness, at most 241
/// bytes of text.
///
/// ```
/// use std::time::Duration;
///
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir()?;
/// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
/// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
/// # let id = "b0e1";
/// baskets.put(id, &vec!["teapot".to_owned()])?;
/// assert!(baskets.change(id, |basket| basket.push("cup".to_owned()))?);
/// assert_eq!(baskets.get(id).map(|basket| basket.len()), Some(2));
/// baskets.end(id)?;
/// assert_eq!(baskets.get(id), None);
/// # forebay.close().await;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Sessions<T> {
    rules: RawSessions,
    codec: Arc<dyn Codec<T>>,
}

impl<T> Clone for Sessions<T> {
    fn clone(&self) -> Self {
        Self { rules: self.rules.clone(), codec: Arc::clone(&self.codec) }
    }
}

impl<T> Sessions<T> {
    pub(super) fn new(rules: RawSessions, codec: Arc<dyn Codec<T>>) -> Self {
        Self { rules, codec }
    }

    /// Begins a session, or puts another value in place of its own.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
    /// # let id = "b0e1";
    /// baskets.put(id, &vec!["teapot".to_owned()])?;
    /// # assert!(baskets.get(id).is_some());
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn put(&self, id: impl AsRef<[u8]>, value: &T) -> Result<()> {
        self.rules.put(id.as_ref(), &self.codec.encode(value)?)
    }

    /// The session's value, whose life begins anew. One that cannot be read as a `T` is none.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
    /// # let id = "b0e1";
    /// assert_eq!(baskets.get(id), None);
    /// baskets.put(id, &Vec::new())?;
    /// assert_eq!(baskets.get(id), Some(Vec::new()));
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn get(&self, id: impl AsRef<[u8]>) -> Option<T> {
        self.codec.decode(&self.rules.get(id.as_ref())?).ok()
    }

    /// Changes the session's value. No change is lost when two requests change one session: `change` is called again, on the
    /// newer value, when somebody else was faster. False where there is no such session.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
    /// # let id = "b0e1";
    /// baskets.put(id, &Vec::new())?;
    /// assert!(baskets.change(id, |basket| basket.push("cup".to_owned()))?);
    /// assert!(!baskets.change("no session", |_| ())?);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn change(&self, id: impl AsRef<[u8]>, mut change: impl FnMut(&mut T)) -> Result<bool> {
        self.rules.change(id.as_ref(), |bytes| {
            let mut value = self.codec.decode(&bytes)?;
            change(&mut value);
            self.codec.encode(&value)
        })
    }

    /// Ends the session.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # tokio::runtime::Runtime::new().unwrap().block_on(async {
    /// # let folder = tempfile::tempdir()?;
    /// # let forebay = forebay::Forebay::builder().data(folder.path()).open().await?;
    /// let baskets = forebay.cache().sessions::<Vec<String>>(Duration::from_secs(1800))?;
    /// # let id = "b0e1";
    /// baskets.put(id, &Vec::new())?;
    /// baskets.end(id)?;
    /// assert_eq!(baskets.get(id), None);
    /// # forebay.close().await;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    pub fn end(&self, id: impl AsRef<[u8]>) -> Result<()> {
        self.rules.end(id.as_ref())
    }
}
