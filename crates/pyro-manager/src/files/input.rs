//! What follows a file operation's request: nothing, a file's content in pieces, or a tar archive.

use bytes::Bytes;
use pyro_guest::files::{MAX_PIECE, piece_header};
use pyro_protocol::frame::Kind as FrameKind;
use tokio::sync::mpsc;

use crate::Error;
use crate::supervisor::rpc::Writer;

/// The input of a file operation.
#[derive(Debug)]
pub enum FileInput {
    /// There is none.
    None,
    /// The content of a file. Only the closing of the channel by [`FilePiece::End`] commits it.
    Content(mpsc::Receiver<FilePiece>),
    /// A tar archive, which has an end mark of its own.
    Archive(mpsc::Receiver<Bytes>),
}

/// A part of a file's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FilePiece {
    /// The next bytes.
    Data(Bytes),
    /// Nothing is missing.
    End,
}

impl FileInput {
    /// The whole content of a file.
    #[must_use]
    pub fn whole(content: Bytes) -> Self {
        let (sender, receiver) = mpsc::channel(2);
        // There is room for both.
        let _ = sender.try_send(FilePiece::Data(content));
        let _ = sender.try_send(FilePiece::End);
        Self::Content(receiver)
    }

    /// Sends it on, and then waits until the operation is over: a connection that is closed ends it.
    pub(super) async fn feed(self, mut writer: Writer) {
        // A worker that has ended takes no more, and has said why.
        let _ = self.send(&mut writer).await;
        std::future::pending().await
    }

    async fn send(self, writer: &mut Writer) -> Result<(), Error> {
        match self {
            Self::None => writer.end_input().await,
            Self::Content(mut pieces) => {
                while let Some(piece) = pieces.recv().await {
                    match piece {
                        FilePiece::Data(bytes) => send_pieces(writer, &bytes).await?,
                        FilePiece::End => {
                            writer.data(FrameKind::Stdin, &piece_header(0)).await?;
                            break;
                        }
                    }
                }
                writer.end_input().await
            }
            Self::Archive(mut archive) => {
                while let Some(bytes) = archive.recv().await {
                    writer.data(FrameKind::Stdin, &bytes).await?;
                }
                writer.end_input().await
            }
        }
    }
}

async fn send_pieces(writer: &mut Writer, bytes: &[u8]) -> Result<(), Error> {
    for piece in bytes.chunks(MAX_PIECE) {
        writer.data(FrameKind::Stdin, &piece_header(piece.len())).await?;
        writer.data(FrameKind::Stdin, piece).await?;
    }
    Ok(())
}
