//! Memory for pages, used again for later pages.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

/// Bytes that a pass keeps while no page uses them: some writers put a column of a million rows into one page, and the pages of one row
/// group are free when those of the next are needed.
const IDLE: usize = 96 << 20;
/// Smaller buffers are left to the allocator, which keeps them by itself.
const LEAST: usize = 64 << 10;

/// Buffers for pages. A page of some megabytes is new to the process each time it is allocated, and the system clears it before
/// it is first written to: that takes about as long as decompressing some of them. The pages of a column have nearly one
/// size, so the buffer of the last one fits the next.
#[derive(Clone, Debug, Default)]
pub(crate) struct Buffers(Arc<Mutex<Idle>>);

#[derive(Debug, Default)]
struct Idle {
    buffers: Vec<Vec<u8>>,
    bytes: usize,
}

/// A buffer in use. Goes back when the last slice of it is dropped.
struct Lent {
    bytes: Vec<u8>,
    home: Arc<Mutex<Idle>>,
}

impl Buffers {
    /// A buffer of this length, with anything in it.
    pub(crate) fn take(&self, length: usize) -> Vec<u8> {
        let found = {
            let mut idle = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            idle.take(length)
        };
        match found {
            Some(mut buffer) => {
                buffer.resize(length, 0);
                buffer
            }
            // Zeroed by the allocator: memory that is not written to is not used. A little room for the next page of the column.
            None => {
                let mut buffer = vec![0; length + length / 8];
                buffer.truncate(length);
                buffer
            }
        }
    }

    /// The bytes of a page. Their memory is used again once nobody reads them.
    pub(crate) fn lend(&self, bytes: Vec<u8>) -> Bytes {
        if bytes.capacity() < LEAST {
            return bytes.into();
        }
        Bytes::from_owner(Lent { bytes, home: Arc::clone(&self.0) })
    }
}

impl Idle {
    /// The smallest buffer that is large enough, unless it is far too large.
    fn take(&mut self, length: usize) -> Option<Vec<u8>> {
        let fits = |buffer: &Vec<u8>| (length..=length.saturating_mul(2)).contains(&buffer.capacity());
        let fitting = self.buffers.iter().enumerate().filter(|(_, buffer)| fits(buffer));
        let (at, _) = fitting.min_by_key(|(_, buffer)| buffer.capacity())?;
        let buffer = self.buffers.swap_remove(at);
        self.bytes -= buffer.capacity();
        Some(buffer)
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let buffer = core::mem::take(&mut self.bytes);
        let mut idle = self.home.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.bytes + buffer.capacity() <= IDLE {
            idle.bytes += buffer.capacity();
            idle.buffers.push(buffer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_when_the_last_slice_is_dropped() {
        let buffers = Buffers::default();
        let mut buffer = buffers.take(LEAST);
        buffer.fill(7);
        let page = buffers.lend(buffer);
        let slice = page.slice(3..5);
        drop(page);
        assert_eq!(slice.as_ref(), [7, 7]);
        let other = buffers.take(LEAST);
        assert!(other.iter().all(|byte| *byte == 0), "in use: another one");
        drop((slice, other));
        let again = buffers.take(LEAST + 10);
        assert_eq!((again.len(), again[0], again[LEAST]), (LEAST + 10, 7, 0));
        assert!(buffers.take(LEAST).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn what_is_far_too_large_is_not_used_and_what_is_too_much_is_not_kept() {
        let buffers = Buffers::default();
        drop(buffers.lend(vec![1; 4 * LEAST]));
        assert_eq!(buffers.take(LEAST)[0], 0);
        drop(buffers.lend(vec![1; IDLE]));
        assert_eq!(buffers.take(IDLE)[0], 0);
        assert_eq!(buffers.take(3 * LEAST)[0], 1);
    }
}
