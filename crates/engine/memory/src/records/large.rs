//! Values too large for a segment, each an allocation of its own.

/// Large values by handle.
#[derive(Default)]
pub(crate) struct Large {
    values: Vec<Box<[u8]>>,
    free: Vec<u32>,
}

impl Large {
    /// Bytes of the table of handles, without the values.
    pub(crate) fn bytes(&self) -> usize {
        self.values.capacity() * size_of::<Box<[u8]>>() + self.free.capacity() * size_of::<u32>()
    }

    /// What `bytes` can grow by with the next value.
    pub(crate) fn bytes_to_grow(&self) -> usize {
        if self.free.is_empty() { growth(self.values.len()) * (size_of::<Box<[u8]>>() + 4) } else { 0 }
    }

    pub(crate) fn insert(&mut self, value: Box<[u8]>) -> u32 {
        if let Some(handle) = self.free.pop()
            && let Some(place) = self.values.get_mut(handle as usize)
        {
            *place = value;
            return handle;
        }
        let length = self.values.len();
        if length == self.values.capacity() {
            self.values.reserve_exact(growth(length));
            // Room for all to be freed, so that freeing never allocates.
            self.free.reserve_exact(self.values.capacity());
        }
        self.values.push(value);
        u32::try_from(length).unwrap_or(u32::MAX)
    }

    pub(crate) fn get(&self, handle: u32) -> &[u8] {
        self.values.get(handle as usize).map(Box::as_ref).unwrap_or_default()
    }

    pub(crate) fn get_mut(&mut self, handle: u32) -> &mut [u8] {
        self.values.get_mut(handle as usize).map(Box::as_mut).unwrap_or_default()
    }

    pub(crate) fn remove(&mut self, handle: u32) -> Box<[u8]> {
        let value = self.values.get_mut(handle as usize).map(std::mem::take).unwrap_or_default();
        if self.free.len() + 1 == self.values.len() {
            // The last one: the table starts over.
            *self = Self::default();
        } else {
            self.free.push(handle);
        }
        value
    }
}

/// An eighth at a time, so that little stands empty.
fn growth(length: usize) -> usize {
    length / 8 + 8
}

/// What an allocation of `bytes` really takes: a word of header, rounded to 16, at least 32; from 128 KiB on whole pages.
/// These are the steps of glibc's allocator; others stay below or close to them.
pub(crate) const fn allocated(bytes: usize) -> usize {
    const MAPPED: usize = 128 * 1024;
    const PAGE: usize = 4096;
    if bytes >= MAPPED {
        return (bytes + 16).next_multiple_of(PAGE);
    }
    let chunk = (bytes + 8).next_multiple_of(16);
    if chunk < 32 { 32 } else { chunk }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn value(byte: u8) -> Box<[u8]> {
        vec![byte; 3].into_boxed_slice()
    }

    #[test]
    fn a_handle_is_used_again_only_after_it_was_given_back() {
        let mut large = Large::default();
        let handles: Vec<u32> = (0..20).map(|byte| large.insert(value(byte))).collect();
        assert_eq!(&*large.remove(handles[7]), [7, 7, 7]);
        assert_eq!(large.insert(value(99)), handles[7]);
        assert_eq!(large.insert(value(100)), 20);
        for (byte, handle) in handles.iter().enumerate().filter(|(byte, _)| *byte != 7) {
            assert_eq!(large.get(*handle), [byte as u8; 3]);
        }
    }

    #[test]
    fn an_empty_table_takes_no_memory() {
        let mut large = Large::default();
        let handles: Vec<u32> = (0..20).map(|byte| large.insert(value(byte))).collect();
        assert!(large.bytes() > 0);
        for handle in handles {
            large.remove(handle);
        }
        assert_eq!(large.bytes(), 0);
    }
}
