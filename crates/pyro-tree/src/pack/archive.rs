//! An archive of the user's, read entry by entry and sent by our own writer.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use super::error::PackError;
use super::meter::Meter;
use crate::archive::codec::Form;
use crate::archive::read::Members;
use crate::archive::write::Writer;
use crate::check::{Checker, Limits, Links, Origin};
use crate::entry::Entry;
use crate::notice::Notice;
use crate::sink::{Implied, ToArchive};
use crate::transfer::{TransferError, transfer};

pub(super) fn resend<W: Write>(
    path: &Path,
    form: Form,
    output: &mut BufWriter<W>,
    meter: &mut Meter<'_>,
) -> Result<(Vec<Entry>, Vec<Notice>), PackError> {
    let file = File::open(path).map_err(|source| PackError::Source { path: path.to_owned(), source })?;
    let mut members = Members::new(form.reader(file), Limits::OWN.max_name_bytes);
    let mut checker = Checker::new(Limits::OWN, Links::Keep, Origin::User);
    let mut sink = ToArchive { writer: Writer::new(output), implied: Implied::Written };
    let done = transfer(&mut members, &mut checker, &mut sink, &mut |entries, bytes| meter.set(entries, bytes));
    let done = done.map_err(|error| match error {
        TransferError::Stream(source) => PackError::Archive { path: path.to_owned(), source },
        TransferError::Sink(_, source) => PackError::Output(source),
    })?;
    sink.writer.finish().map_err(PackError::Output)?;
    Ok((done.collected.entries(), done.notices))
}
