use super::*;
use crate::entry::Kind;
use proptest::prelude::*;

fn entry(path: &[u8]) -> Entry {
    let digest = crate::digest::of(path);
    Entry { path: path.to_vec(), kind: Kind::File, mode: 0o644, size: 7, digest, mtime_ns: -5 }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn a_manifest_is_read_as_it_was_written(paths in proptest::collection::btree_set(proptest::collection::vec(1u8.., 1..20), 0..20)) {
        let manifest = Manifest::new("a \"tree\"\n".into(), paths.iter().map(|path| entry(path)).collect());
        let read = Manifest::decode(&manifest.encode());
        prop_assert_eq!(read, Ok(manifest.clone()));
        for path in &paths {
            prop_assert_eq!(manifest.get(path), Some(&entry(path)));
        }
        prop_assert_eq!(manifest.get(b""), None);
    }
}

#[test]
fn the_later_of_two_entries_stays_and_all_are_sorted() {
    let later = Entry { mode: 0o600, ..entry(b"a") };
    let manifest = Manifest::new(String::new(), vec![entry(b"b"), entry(b"a"), later.clone()]);
    assert_eq!(manifest.entries(), [later, entry(b"b")]);
}

#[test]
fn no_flipped_bit_is_believed() {
    let manifest = Manifest::new("root".into(), vec![entry(b"a"), entry(b"\xff")]);
    let content = manifest.encode();
    for at in 0..content.len() * 8 {
        let mut flipped = content.clone();
        flipped[at / 8] ^= 1 << (at % 8);
        let read = Manifest::decode(&flipped);
        assert!(read.is_err() || read == Ok(manifest.clone()), "bit {at}");
    }
    for length in 0..content.len() {
        assert!(Manifest::decode(&content[..length]).is_err(), "{length} bytes");
    }
}

#[test]
fn the_bytes_of_format_1_stay_readable() {
    let body = "{\"format\":1,\"root\":\"r\"}\n[\"d\",\"directory\",493,0,\"\",0]\n[{\"hex\":\"ff\"},\"file\",420,1,\"ab\",5]\n";
    let content = format!("{body}{{\"entries\":2,\"crc32\":{}}}\n", crc32fast::hash(body.as_bytes()));
    let manifest = Manifest::decode(content.as_bytes()).unwrap();
    assert_eq!((manifest.get(b"d").unwrap().kind, manifest.get(b"\xff").unwrap().mtime_ns), (Kind::Directory, 5));
    assert_eq!(manifest.encode(), content.as_bytes());
}

#[test]
fn a_newer_format_is_refused_by_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manifest");
    std::fs::write(&path, "{\"format\":2,\"whatever\":[]}\nbinary\n").unwrap();
    let error = Manifest::read(&path).unwrap_err();
    assert!(matches!(error, ManifestError::Newer { format: 2, .. }), "{error}");
    std::fs::write(&path, "").unwrap();
    assert!(matches!(Manifest::read(&path).unwrap_err(), ManifestError::Damaged { .. }));
    assert!(matches!(Manifest::read(&path.with_extension("not")).unwrap_err(), ManifestError::File { .. }));
}

#[test]
fn two_hundred_thousand_entries_are_written_and_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("manifest");
    let entries = (0..200_000).map(|number| entry(format!("src/{}/{number}.rs", number / 100).as_bytes())).collect();
    let manifest = Manifest::new("large".into(), entries);
    manifest.write(&path).unwrap();
    let start = std::time::Instant::now();
    let read = Manifest::read(&path).unwrap();
    println!("read in {:?}", start.elapsed());
    assert_eq!(read, manifest);
}
