//! How far the sending is, told now and then. It lives as long as one `write`.

/// How far the sending is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries sent.
    pub entries: u64,
    /// Bytes of files sent, without holes.
    pub bytes: u64,
}

const ENTRIES: u64 = 1000;
const BYTES: u64 = 8 << 20;

pub(super) struct Meter<'a> {
    hear: &'a mut dyn FnMut(Progress),
    told: Progress,
    now: Progress,
}

impl<'a> Meter<'a> {
    pub fn new(hear: &'a mut dyn FnMut(Progress)) -> Self {
        Self { hear, told: Progress::default(), now: Progress::default() }
    }

    pub fn entry(&mut self) {
        self.set(self.now.entries + 1, self.now.bytes);
    }

    pub fn bytes(&mut self, bytes: u64) {
        self.set(self.now.entries, self.now.bytes + bytes);
    }

    pub fn set(&mut self, entries: u64, bytes: u64) {
        self.now = Progress { entries, bytes };
        if entries - self.told.entries >= ENTRIES || bytes - self.told.bytes >= BYTES {
            self.tell();
        }
    }

    /// Says the last number, unless it was said.
    pub fn end(&mut self) {
        if self.now != self.told || self.now == Progress::default() {
            self.tell();
        }
    }

    fn tell(&mut self) {
        self.told = self.now;
        (self.hear)(self.now);
    }
}
