use super::*;
use bytes::Bytes;
use pyro_protocol::frame::{Decoder, Frame};
use std::fs::File;
use std::io::{Read, Write};

const STREAM: StreamId = StreamId(3);

/// A port that takes all, and the file behind it.
fn port() -> (Port, File) {
    let file = tempfile::tempfile().unwrap();
    (Port::over(file.try_clone().unwrap()), file)
}

fn frames(mut file: File) -> Vec<Frame> {
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut file).unwrap();
    file.read_to_end(&mut bytes).unwrap();
    let mut decoder = Decoder::default();
    decoder.push(&bytes);
    let frames = std::iter::from_fn(|| decoder.next_frame().unwrap()).collect();
    assert_eq!(decoder.pending(), 0);
    frames
}

/// A command's output: the agent's side, and the writing end.
fn output(credit: u32) -> (Output, File) {
    let (reading, writing) = pipe().unwrap();
    non_blocking(&reading).unwrap();
    let theirs = File::from(writing.try_clone().unwrap());
    (Output::new(Kind::Stdout, (reading, writing), credit), theirs)
}

fn input() -> (Input, File) {
    let (reading, writing) = pipe().unwrap();
    non_blocking(&writing).unwrap();
    non_blocking(&reading).unwrap();
    (Input::new(writing), reading.into())
}

#[test]
fn output_comes_in_frames_as_far_as_the_credit_goes() {
    let (mut output, mut theirs) = output(5);
    let (mut port, file) = port();
    theirs.write_all(b"hello world").unwrap();
    output.pump(STREAM, &mut port);
    assert!(output.poll_fd().is_none(), "without credit it is not looked at");
    output.grant(100);
    output.pump(STREAM, &mut port);
    output.seal();
    output.pump(STREAM, &mut port);
    output.pump(STREAM, &mut port);
    port.flush_all().unwrap();
    let frame = |body: &'static [u8], continuation| Frame {
        stream: STREAM,
        kind: Kind::Stdout,
        continuation,
        body: Bytes::from_static(body),
    };
    let (more, end) = (Continuation::More, Continuation::End);
    assert_eq!(frames(file), [frame(b"hello", more), frame(b" world", more), frame(b"", end)]);
}

#[test]
fn what_is_written_after_the_seal_does_not_count() {
    let (mut output, mut theirs) = output(100);
    let (mut port, file) = port();
    theirs.write_all(b"before").unwrap();
    output.seal();
    theirs.write_all(b"after").unwrap();
    output.pump(STREAM, &mut port);
    port.flush_all().unwrap();
    let frames = frames(file);
    assert_eq!(frames[0].body.as_ref(), b"before");
    assert_eq!((frames.len(), frames[1].continuation), (2, Continuation::End));
}

#[test]
fn a_port_without_room_stops_output_and_nothing_is_lost() {
    let (mut output, mut theirs) = output(u32::MAX);
    let (mut port, file) = port();
    let data: Vec<u8> = (0..3_000_000_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let copy = data.clone();
    let writer = std::thread::spawn(move || theirs.write_all(&copy).unwrap());
    let mut queued = 0;
    while queued < data.len() {
        rustix::event::poll(&mut [output.poll_fd().unwrap()], None).unwrap();
        output.pump(STREAM, &mut port);
        assert!(port.queued() < 5 * MAX_BODY + 100, "{}", port.queued());
        port.flush_all().unwrap();
        queued = (u32::MAX - output.credit) as usize;
    }
    writer.join().unwrap();
    let bodies: Vec<u8> = frames(file).into_iter().flat_map(|frame| frame.body).collect();
    assert!(bodies == data);
    assert!(output.is_wide);
}

#[test]
fn input_is_taken_as_the_command_reads_it() {
    let (mut input, mut theirs) = input();
    assert!(input.poll_fd().is_none());
    let data: Vec<u8> = (0..400_000_u32).map(|number| (number / 7) as u8).collect();
    for piece in data.chunks(60_000) {
        input.push(piece, Continuation::More);
    }
    input.push(b"", Continuation::End);
    let mut granted = input.pump() as usize;
    assert!(granted > 64 << 10 && granted <= WIDE, "{granted} bytes are more than a pipe holds by itself");
    let (mut read, mut buffer) = (Vec::new(), vec![0; 10_000]);
    loop {
        match theirs.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => read.extend_from_slice(&buffer[..length]),
            Err(error) => panic!("{error}"),
        }
        granted += input.pump() as usize;
    }
    assert_eq!(granted, data.len());
    assert!(read == data);
    assert!(input.poll_fd().is_none(), "its pipe is closed");
}

#[test]
fn a_command_that_closed_its_input_takes_everything() {
    let (mut input, theirs) = input();
    drop(theirs);
    input.push(b"abc", Continuation::More);
    assert_eq!(input.pump(), 3);
    input.push(b"de", Continuation::More);
    assert_eq!(input.pump(), 2);
    assert!(input.poll_fd().is_none());
}
