//! The forms an archive may have, by its name: plain, gzip, Zstandard.

use std::io::{self, BufReader, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

/// What is compressed as one frame.
const FRAME: usize = 8 << 20;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Plain,
    Gzip,
    Zstd,
}

impl Form {
    /// The form that the end of the name says. `None`: it is no archive's name.
    pub fn of(path: &Path) -> Option<Self> {
        const ENDS: [(&[u8], Form); 5] = [
            (b".tar", Form::Plain),
            (b".tar.gz", Form::Gzip),
            (b".tgz", Form::Gzip),
            (b".tar.zst", Form::Zstd),
            (b".tzst", Form::Zstd),
        ];
        let name = path.file_name()?.as_bytes();
        ENDS.into_iter().find(|(end, _)| name.len() > end.len() && name.ends_with(end)).map(|(_, form)| form)
    }

    pub fn reader<'a>(self, input: impl Read + 'a) -> Box<dyn Read + 'a> {
        let input = BufReader::with_capacity(64 * 1024, input);
        match self {
            Self::Plain => Box::new(input),
            Self::Gzip => Box::new(MultiGzDecoder::new(input)),
            Self::Zstd => Box::new(Frames { input, decoder: FrameDecoder::new(), open: false }),
        }
    }
}

/// Zstandard frames one after the other, to the end of the input.
struct Frames<R: io::BufRead> {
    input: R,
    decoder: FrameDecoder,
    open: bool,
}

impl<R: io::BufRead> Read for Frames<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if self.open && self.decoder.can_collect() > 0 {
                return self.decoder.read(buffer);
            }
            if self.open && !self.decoder.is_finished() {
                let one = BlockDecodingStrategy::UptoBlocks(1);
                self.decoder.decode_blocks(&mut self.input, one).map_err(broken)?;
                continue;
            }
            if self.input.fill_buf()?.is_empty() {
                return Ok(0);
            }
            self.begin()?;
        }
    }
}

impl<R: io::BufRead> Frames<R> {
    fn begin(&mut self) -> io::Result<()> {
        match self.decoder.reset(&mut self.input) {
            Ok(()) => self.open = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame { length, .. })) => {
                self.open = false;
                let skipped = io::copy(&mut self.input.by_ref().take(length.into()), &mut io::sink())?;
                if skipped != u64::from(length) {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
            }
            Err(error) => return Err(broken(error)),
        }
        Ok(())
    }
}

fn broken(error: FrameDecoderError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error)
}

/// Compresses what is written. `finish` must be called: dropping leaves a broken archive.
pub(crate) enum Encoder<W: Write> {
    Plain(W),
    Gzip(GzEncoder<W>),
    Zstd { output: W, frame: Vec<u8> },
}

impl<W: Write> Encoder<W> {
    pub fn new(form: Form, output: W) -> Self {
        match form {
            Form::Plain => Self::Plain(output),
            Form::Gzip => Self::Gzip(GzEncoder::new(output, Compression::default())),
            Form::Zstd => Self::Zstd { output, frame: Vec::new() },
        }
    }

    pub fn finish(self) -> io::Result<W> {
        match self {
            Self::Plain(output) => Ok(output),
            Self::Gzip(encoder) => encoder.finish(),
            Self::Zstd { mut output, frame } => {
                write_frame(&mut output, &frame)?;
                Ok(output)
            }
        }
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(output) => output.write(bytes),
            Self::Gzip(encoder) => encoder.write(bytes),
            Self::Zstd { output, frame } => {
                let length = bytes.len().min(FRAME - frame.len());
                frame.extend_from_slice(&bytes[..length]);
                if frame.len() == FRAME {
                    write_frame(output, frame)?;
                    frame.clear();
                }
                Ok(length)
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(output) | Self::Zstd { output, .. } => output.flush(),
            Self::Gzip(encoder) => encoder.flush(),
        }
    }
}

fn write_frame(output: &mut impl Write, frame: &[u8]) -> io::Result<()> {
    output.write_all(&compress_to_vec(frame, CompressionLevel::Fastest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read_as_it_was_written() {
        let content: Vec<u8> = (0..20_000_000u32).map(|number| (number / 1000 % 251) as u8).collect();
        for form in [Form::Plain, Form::Gzip, Form::Zstd] {
            let mut encoder = Encoder::new(form, Vec::new());
            encoder.write_all(&content).unwrap();
            let encoded = encoder.finish().unwrap();
            let mut decoded = Vec::new();
            form.reader(encoded.as_slice()).read_to_end(&mut decoded).unwrap();
            assert!(decoded == content, "{form:?}");
            if form != Form::Plain {
                assert!(encoded.len() < content.len() / 10, "{form:?}: {} bytes", encoded.len());
                let cut = &encoded[..encoded.len() - 9];
                assert!(form.reader(cut).read_to_end(&mut Vec::new()).is_err(), "{form:?}");
            }
        }
    }

    #[test]
    fn a_form_is_known_by_the_end_of_a_name() {
        assert_eq!(Form::of(Path::new("a/b.tar.gz")), Some(Form::Gzip));
        assert_eq!(Form::of(Path::new("b.tzst")), Some(Form::Zstd));
        assert_eq!(Form::of(Path::new("b.zip")), None);
        assert_eq!(Form::of(Path::new(".tar")), None);
    }
}
