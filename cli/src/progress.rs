//! Progress of long work, on standard error and only on a terminal.

use core::time::Duration;
use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// Something that is going on. Gone from the screen when it is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Work without a known length.
    pub(crate) fn spinner(what: &str) -> Self {
        let bar = if std::io::stderr().is_terminal() { ProgressBar::new_spinner() } else { ProgressBar::hidden() };
        bar.enable_steady_tick(Duration::from_millis(120));
        bar.set_message(what.to_owned());
        Self(bar)
    }

    /// Says what is going on now.
    pub(crate) fn say(&self, what: impl Into<String>) {
        self.0.set_message(what.into());
    }

    /// `done` of `all`; the spinner becomes a bar.
    pub(crate) fn of(&self, done: u64, all: u64) {
        if self.0.length() != Some(all) {
            self.0.set_length(all);
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bar:30} {pos}/{len}") {
                self.0.set_style(style);
            }
        }
        self.0.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
