//! Why an entry of an archive is refused. Values only; each has a word that stays the same for ever.

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident = $word:literal,)+) => {
        /// Why an entry, or a whole archive, is refused.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Reason { $($(#[doc = $doc])+ $name,)+ }

        impl Reason {
            /// The stable word for it.
            #[must_use]
            pub fn word(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }
        }
    };
}

reasons! {
    /// The name is empty, or a file has the root's name.
    NameEmpty = "name_empty",
    /// The name begins with a slash.
    NameAbsolute = "name_absolute",
    /// The name contains `..`.
    NameParent = "name_parent",
    /// The name, or a link's target, contains a NUL.
    NameNul = "name_nul",
    /// The name of something that is not a directory ends with a slash.
    NameTrailingSlash = "name_trailing_slash",
    /// The name is longer than 4096 bytes, or a component of it longer than 255.
    NameTooLong = "name_too_long",
    /// The entry has two long names.
    NameTwice = "name_twice",
    /// All names, or all extended headers, together are longer than allowed.
    NamesTooLong = "names_too_long",
    /// The entry was there before.
    Duplicate = "duplicate",
    /// The name was there before, as something else.
    TypeConflict = "type_conflict",
    /// The name lies below something that is not a directory.
    BelowNonDirectory = "below_non_directory",
    /// A hard link to something that was not received before as a regular file.
    HardLinkTarget = "hard_link_target",
    /// A symbolic link without a target, or with one longer than 4095 bytes.
    LinkTarget = "link_target",
    /// A symbolic link whose target is absolute or may lead out of the root.
    LinkOutside = "link_outside",
    /// A character or block device.
    Device = "device",
    /// A named pipe.
    Fifo = "fifo",
    /// A type that is not known here.
    TypeUnknown = "type_unknown",
    /// More entries than allowed.
    TooManyEntries = "too_many_entries",
    /// More bytes than allowed.
    TooManyBytes = "too_many_bytes",
    /// A file that is larger than allowed, holes included.
    FileTooLarge = "file_too_large",
    /// A size that is negative, or no number.
    Size = "size",
    /// Something other than a file has a size.
    SizeOfNonFile = "size_of_non_file",
    /// The size in the header and the one in the extended header differ.
    SizeConflict = "size_conflict",
    /// A mode that is no number, or has bits that no mode has.
    Mode = "mode",
    /// A time that is no number, before 1901, or after 2262.
    Time = "time",
    /// An extended header is longer than 1 MiB.
    PaxTooLong = "pax_too_long",
    /// An extended header is not well formed, or says the same thing twice.
    Pax = "pax",
    /// An extended header for all entries that changes what they are.
    PaxGlobal = "pax_global",
    /// The same extended header twice, or one without an entry.
    ExtendedHeader = "extended_header",
    /// A header's checksum is wrong.
    HeaderChecksum = "header_checksum",
    /// A header is not one of a tar archive.
    HeaderMagic = "header_magic",
    /// The map of a sparse file is wrong.
    SparseMap = "sparse_map",
    /// A sparse file in a form that is not known here.
    SparseForm = "sparse_form",
    /// Something follows the end of the archive.
    TrailingGarbage = "trailing_garbage",
    /// The archive ends before its end.
    Truncated = "truncated",
}

/// The refusal of an entry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{:?} is refused: {}", String::from_utf8_lossy(.name), .reason.word())]
pub struct Refusal {
    /// The entry's name as the archive gives it. Empty where the archive as a whole is refused.
    pub name: Vec<u8>,
    /// Why.
    pub reason: Reason,
}

/// What ends the reading of an archive.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// What was read is refused.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The bytes could not be had.
    #[error("the archive could not be read")]
    Read(#[source] std::io::Error),
}
