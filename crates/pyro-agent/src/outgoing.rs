//! Bytes on their way to the host: one buffer, in which frames are made where they are sent from.
//!
//! ```text
//! [ sent already | waiting ........ | room ]
//!                ^start            ^end
//! ```
//!
//! A command's output is read straight into it, behind a place for the header. What waits is one
//! piece, so it goes out in one write. It is moved to the front when what was sent takes more room
//! than what waits: so no byte is moved twice on average, and mostly none is, for the host takes
//! all of it.

use pyro_protocol::frame::{Continuation, HEADER, Kind, StreamId, header};

#[derive(Debug, Default)]
pub struct Outgoing {
    /// All of it is initialized; it never shrinks.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl Outgoing {
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes that wait.
    pub fn len(&self) -> usize {
        self.end - self.start
    }

    /// All that waits.
    pub fn waiting(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    /// So much of it was sent.
    pub fn sent(&mut self, bytes: usize) {
        self.start += bytes;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Adds a frame.
    pub fn push(&mut self, stream: StreamId, kind: Kind, continuation: Continuation, body: &[u8]) {
        let room = self.room(HEADER + body.len());
        room[..HEADER].copy_from_slice(&header(stream, kind, continuation, body.len()));
        room[HEADER..].copy_from_slice(body);
        self.end += HEADER + body.len();
    }

    /// Adds a frame whose body of at most so many bytes is written in place. An empty body, or an
    /// error, adds nothing.
    pub fn push_with<E>(
        &mut self,
        stream: StreamId,
        kind: Kind,
        most: usize,
        write: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let room = self.room(HEADER + most);
        let length = write(&mut room[HEADER..])?;
        if length > 0 {
            room[..HEADER].copy_from_slice(&header(stream, kind, Continuation::More, length));
            self.end += HEADER + length;
        }
        Ok(length)
    }

    /// Room behind what waits.
    fn room(&mut self, bytes: usize) -> &mut [u8] {
        if self.end + bytes > self.buffer.len() && self.start >= self.len() {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.len());
        }
        let needed = self.end + bytes;
        if needed > self.buffer.len() {
            self.buffer.resize(needed, 0);
        }
        &mut self.buffer[self.end..needed]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use pyro_protocol::frame::{Frame, MAX_BODY};

    const STREAM: StreamId = StreamId(7);

    /// What is done with the buffer.
    #[derive(Clone, Debug)]
    enum Step {
        Push(Vec<u8>),
        Read(Vec<u8>, usize),
        Fail(usize),
        Send(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let body = || prop::collection::vec(any::<u8>(), 0..300);
        prop_oneof![
            body().prop_map(Step::Push),
            (body(), 0..100_usize).prop_map(|(body, spare)| Step::Read(body, spare)),
            (0..300_usize).prop_map(Step::Fail),
            (0..1000_usize).prop_map(Step::Send),
            Just(Step::Send(usize::MAX)),
        ]
    }

    proptest! {
        #[test]
        fn what_is_sent_are_the_frames_in_order(steps in prop::collection::vec(step(), 0..60)) {
            let mut outgoing = Outgoing::default();
            let (mut expected, mut sent) = (Vec::new(), Vec::new());
            let mut expect = |body: &[u8]| Frame {
                stream: STREAM, kind: Kind::Stdout, continuation: Continuation::More, body: body.to_vec().into(),
            }.encode(&mut expected);
            for step in steps {
                match step {
                    Step::Push(body) => {
                        outgoing.push(STREAM, Kind::Stdout, Continuation::More, &body);
                        expect(&body);
                    }
                    Step::Read(body, spare) => {
                        let write = |room: &mut [u8]| {
                            assert_eq!(room.len(), body.len() + spare);
                            room[..body.len()].copy_from_slice(&body);
                            Ok::<_, ()>(body.len())
                        };
                        let length = body.len() + spare;
                        prop_assert_eq!(outgoing.push_with(STREAM, Kind::Stdout, length, write), Ok(body.len()));
                        if !body.is_empty() {
                            expect(&body);
                        }
                    }
                    Step::Fail(most) => {
                        let before = outgoing.len();
                        prop_assert_eq!(outgoing.push_with(STREAM, Kind::Stdout, most, |_| Err("no")), Err("no"));
                        prop_assert_eq!(outgoing.len(), before);
                    }
                    Step::Send(most) => {
                        let bytes = most.min(outgoing.len());
                        sent.extend_from_slice(&outgoing.waiting()[..bytes]);
                        outgoing.sent(bytes);
                    }
                }
            }
            sent.extend_from_slice(outgoing.waiting());
            prop_assert_eq!(sent, expected);
        }
    }

    #[test]
    fn the_buffer_is_bounded_when_a_slow_host_never_takes_all() {
        let mut outgoing = Outgoing::default();
        let full = 4 * MAX_BODY;
        for _ in 0..1000 {
            while outgoing.len() < full {
                let read = outgoing.push_with(STREAM, Kind::Stdout, MAX_BODY, |room| Ok::<_, ()>(room.len()));
                assert_eq!(read, Ok(MAX_BODY));
            }
            outgoing.sent(32 << 10);
        }
        assert!(outgoing.buffer.len() <= 3 * full, "{}", outgoing.buffer.len());
    }
}
