use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use driftless_model::{Clock, Meter, Millis};

use crate::queue::sending;
use crate::{Outgoing, Queue, Record, Result};

/// Queues in memory, for tests and simulation. Delivers in any order the test likes, twice, late or never. A queue exists
/// once it is named; its URL is `memory:` and its name.
pub struct MemoryQueue {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
    meter: Meter,
}

#[derive(Default)]
struct State {
    queues: BTreeMap<String, Vec<MemoryMessage>>,
    sent: u64,
    received: u64,
}

/// A message in a [`MemoryQueue`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryMessage {
    /// `m0`, `m1`, … in the order of sending, over all queues.
    pub id: String,
    /// Its body.
    pub body: String,
    /// Its fair-queue group.
    pub group: Option<String>,
    /// Nobody receives it before.
    pub visible_at: Millis,
    /// How often it was received.
    pub receives: u32,
    /// The newest receipt; an older one is void.
    receipt: Option<String>,
}

const SCHEME: &str = "memory:";

impl MemoryQueue {
    /// No messages yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, state: Mutex::default(), meter: Meter::default() }
    }

    /// Counts messages, and requests as SQS would bill them.
    #[must_use]
    pub fn metered(self, meter: Meter) -> Self {
        Self { meter, ..self }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes one message, and says whether it was there.
    fn with(&self, url: &str, id: &str, change: impl FnOnce(&mut Vec<MemoryMessage>, usize)) -> bool {
        let mut state = self.lock();
        let Some(queue) = state.queues.get_mut(url) else { return false };
        let Some(at) = queue.iter().position(|m| m.id == id) else { return false };
        change(queue, at);
        true
    }

    /// Every message of a queue, visible or not, in the order of sending.
    pub fn messages(&self, url: &str) -> Vec<MemoryMessage> {
        self.lock().queues.get(url).cloned().unwrap_or_default()
    }

    /// The URLs of the queues that were sent to.
    pub fn urls(&self) -> Vec<String> {
        self.lock().queues.keys().cloned().collect()
    }

    /// The ids of the messages that can be received now.
    pub fn visible(&self, url: &str) -> Vec<String> {
        let now = self.clock.now();
        let state = self.lock();
        let queue = state.queues.get(url).into_iter().flatten();
        queue.filter(|m| m.visible_at <= now).map(|m| m.id.clone()).collect()
    }

    /// When the next hidden message of any queue becomes visible: where a test that waits moves its clock.
    pub fn next_visible_at(&self) -> Option<Millis> {
        let now = self.clock.now();
        self.lock().queues.values().flatten().map(|m| m.visible_at).filter(|at| *at > now).min()
    }

    /// Receives up to `max` visible messages, the oldest first.
    pub fn receive(&self, url: &str, max: usize, visibility_s: u32) -> Vec<Record> {
        let ids = self.visible(url);
        ids.iter().take(max).filter_map(|id| self.receive_one(url, id, visibility_s)).collect()
    }

    /// Receives the message of that id, if it is visible. Picking the id oneself is how a simulation reorders.
    pub fn receive_one(&self, url: &str, id: &str, visibility_s: u32) -> Option<Record> {
        let now = self.clock.now();
        let mut state = self.lock();
        state.received += 1;
        let receipt = format!("{id}/{}", state.received);
        let queue = state.queues.get_mut(url)?;
        let message = queue.iter_mut().find(|m| m.id == id && m.visible_at <= now)?;
        message.receives += 1;
        message.visible_at = now.plus(i64::from(visibility_s) * 1000);
        message.receipt = Some(receipt.clone());
        Some(Record {
            message_id: id.to_owned(),
            receipt,
            queue: url.strip_prefix(SCHEME).unwrap_or(url).to_owned(),
            body: Some(message.body.clone()),
            receive_count: message.receives,
        })
    }

    /// Deletes what was received with `receipt`, as Lambda does with the messages that did not fail. Nothing happens if it
    /// was received again since.
    pub fn delete(&self, url: &str, receipt: &str) {
        if let Some(queue) = self.lock().queues.get_mut(url) {
            queue.retain(|m| m.receipt.as_deref() != Some(receipt));
        }
    }

    /// Makes a hidden message visible now, as if its visibility timeout had ended. `false`: there is no such message.
    pub fn redeliver(&self, url: &str, id: &str) -> bool {
        let now = self.clock.now();
        self.with(url, id, |queue, at| queue[at].visible_at = queue[at].visible_at.min(now))
    }

    /// Puts a second message of the same body into the queue, visible now. `false`: there is no such message.
    pub fn duplicate(&self, url: &str, id: &str) -> bool {
        let copy = self.messages(url).into_iter().find(|m| m.id == id);
        copy.is_some_and(|copy| {
            self.put(url, &Outgoing { body: copy.body, delay_s: 0, group: copy.group });
            true
        })
    }

    /// Takes a message out for good: lost, or moved to a dead-letter queue. `None`: there is no such message.
    pub fn lose(&self, url: &str, id: &str) -> Option<MemoryMessage> {
        let mut lost = None;
        self.with(url, id, |queue, at| lost = Some(queue.remove(at)));
        lost
    }

    fn put(&self, url: &str, message: &Outgoing) {
        let visible_at = self.clock.now().plus(i64::from(message.delay_s) * 1000);
        let mut state = self.lock();
        let id = format!("m{}", state.sent);
        state.sent += 1;
        let stored = MemoryMessage {
            id,
            body: message.body.clone(),
            group: message.group.clone(),
            visible_at,
            receives: 0,
            receipt: None,
        };
        state.queues.entry(url.to_owned()).or_default().push(stored);
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    async fn send(&self, url: &str, messages: &[Outgoing]) -> Result<()> {
        self.meter.count(sending(messages));
        for message in messages {
            self.put(url, message);
        }
        Ok(())
    }

    async fn defer(&self, url: &str, receipt: &str, seconds: u32) -> Result<()> {
        let visible_at = self.clock.now().plus(i64::from(seconds) * 1000);
        if let Some(queue) = self.lock().queues.get_mut(url) {
            for message in queue.iter_mut().filter(|m| m.receipt.as_deref() == Some(receipt)) {
                message.visible_at = visible_at;
            }
        }
        Ok(())
    }

    async fn queue_url(&self, name: &str) -> Result<String> {
        Ok(format!("{SCHEME}{name}"))
    }
}

#[cfg(test)]
mod tests {
    use futures::executor::block_on;

    use super::*;

    struct At(Mutex<i64>);
    impl Clock for At {
        fn now(&self) -> Millis {
            Millis(*self.0.lock().unwrap())
        }
    }

    fn queue(delays: &[u32]) -> (MemoryQueue, Arc<At>, String) {
        let clock = Arc::new(At(Mutex::new(0)));
        let queue = MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let url = block_on(queue.queue_url("q")).unwrap();
        for delay_s in delays {
            let message = Outgoing { body: "b".into(), delay_s: *delay_s, group: None };
            block_on(queue.send(&url, &[message])).unwrap();
        }
        (queue, clock, url)
    }

    #[test]
    fn a_received_message_comes_back_unless_it_is_deleted_with_its_newest_receipt() {
        let (queue, clock, url) = queue(&[0]);
        let first = queue.receive(&url, 10, 30).remove(0);
        assert!(queue.receive(&url, 10, 30).is_empty());
        *clock.0.lock().unwrap() = 30_000;
        let second = queue.receive(&url, 10, 30).remove(0);
        assert_eq!((first.receive_count, second.receive_count), (1, 2));
        queue.delete(&url, &first.receipt);
        assert_eq!(queue.messages(&url).len(), 1);
        queue.delete(&url, &second.receipt);
        assert!(queue.messages(&url).is_empty());
    }

    #[test]
    fn a_test_delays_duplicates_and_loses_messages() {
        let (queue, clock, url) = queue(&[5, 0]);
        assert_eq!(queue.visible(&url), ["m1"]);
        assert_eq!(queue.next_visible_at(), Some(Millis(5_000)));
        assert!(queue.duplicate(&url, "m1"));
        assert!(queue.lose(&url, "m1").is_some());
        assert!(!queue.redeliver(&url, "m1"));
        *clock.0.lock().unwrap() = 5_000;
        assert_eq!(queue.visible(&url), ["m0", "m2"]);
        assert_eq!(queue.urls(), [url]);
    }
}
