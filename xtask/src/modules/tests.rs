use super::*;

fn graph(sources: &[(&str, &str)]) -> Graph {
    let modules = sources.iter().map(|(path, text)| (module(Path::new(path)), named(&words::of(text))));
    Graph::of(&modules.collect())
}

fn uses(graph: &Graph, from: &str) -> Vec<String> {
    let from: Module = from.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect();
    graph.arrows[&from].iter().map(name).collect()
}

#[test]
fn paths_are_resolved_through_crate_super_self_and_children() {
    let graph = graph(&[
        ("lib.rs", "mod a; mod b; pub struct Root;"),
        ("a.rs", "mod inner; use crate::b::{Thing, self as other}; fn f() { inner::g() }"),
        ("a/inner.rs", "use super::super::Root; use super::b; fn g() { crate::b::h(); std::fs::read(); }"),
        ("b/mod.rs", "fn h() {}"),
    ]);
    assert_eq!(uses(&graph, "a"), ["a::inner", "b"]);
    assert_eq!(uses(&graph, "a::inner"), ["(root)", "a", "b"]);
    assert!(uses(&graph, "b").is_empty());
    assert!(graph.cycles().len() == 1, "a and a::inner use each other: {:?}", graph.cycles());
}

#[test]
fn a_re_export_is_looked_through_and_is_no_arrow() {
    let graph = graph(&[
        ("lib.rs", "mod error; mod user; pub use error::Error; pub(crate) use error::host as named;"),
        ("error.rs", "pub struct Error;"),
        ("user.rs", "use crate::{Error, named};"),
    ]);
    assert_eq!(uses(&graph, "user"), ["error"]);
    assert!(uses(&graph, "").is_empty());
    assert!(graph.cycles().is_empty());
}

#[test]
fn comments_strings_and_tests_name_nothing() {
    let text = "// crate::a::b\n/* crate::a */ const X: &str = \"crate::a::c\"; const R: &str = r#\"crate::a\"#;\n\
        fn f<'a>(c: char) -> bool { c == '\"' || c == '\\'' }\n#[cfg(test)]\nmod tests { use crate::a::d; }\n\
        #[cfg(test)] use crate::a::e;\nfn g() {}";
    let graph = graph(&[("lib.rs", ""), ("a.rs", ""), ("b.rs", text)]);
    assert!(uses(&graph, "b").is_empty(), "{:?}", uses(&graph, "b"));
}

#[test]
fn a_cycle_is_found_with_all_its_modules_and_no_others() {
    let graph = graph(&[
        ("lib.rs", ""),
        ("a.rs", "use crate::b::X;"),
        ("b.rs", "use crate::c::X;"),
        ("c.rs", "use crate::a::X;"),
        ("d.rs", "use crate::a::X;"),
    ]);
    let cycles: Vec<Vec<String>> =
        graph.cycles().into_iter().map(|group| group.into_iter().map(name).collect()).collect();
    assert_eq!(cycles, [["a", "b", "c"]]);
}

#[test]
fn a_path_is_followed_through_what_a_use_brought() {
    let graph = graph(&[
        ("lib.rs", "mod a; mod b;"),
        ("a.rs", "use crate::{b, b::deep as d}; use std::fs; fn f() { b::inner::g(); d::h(); fs::read(); }"),
        ("b.rs", "pub mod inner; pub mod deep;"),
        ("b/inner.rs", "use crate::a::X;"),
        ("b/deep.rs", "use again::again; fn h() { again::g() }"),
    ]);
    assert_eq!(uses(&graph, "a"), ["b", "b::deep", "b::inner"]);
    assert!(uses(&graph, "b::deep").is_empty());
    assert_eq!(graph.cycles().len(), 1, "a and b::inner");
}

#[test]
fn who_uses_what_it_re_exports_has_an_arrow_to_it() {
    let child = ("child.rs", "use crate::Missing; pub struct Process;");
    let cycles = |root: &str| graph(&[("lib.rs", root), child]).cycles().len();
    let bare = "pub use child::Process; pub struct Missing;";
    assert_eq!(cycles(bare), 0);
    assert_eq!(cycles(&format!("{bare} fn f() -> Process {{ todo!() }}")), 1);
    assert_eq!(cycles(&format!("{bare} fn f() {{ Process::new() }}")), 1);
    assert_eq!(cycles(&format!("{bare} fn f() {{ x.Process(); other::Process; }}")), 0);
    assert_eq!(cycles("pub use child::make; pub struct Missing; fn f() { make() }"), 1);
    assert_eq!(cycles("pub use child::make; pub struct Missing; fn f() { let make = 1; }"), 0);
}

#[test]
fn a_module_that_is_written_out_belongs_to_its_file() {
    let inner = "mod inner { use super::X; mod deeper { use super::super::Y; use super::super::super::b::Z; } }";
    let graph = graph(&[("lib.rs", ""), ("a.rs", &format!("{inner} use super::c::W;")), ("b.rs", ""), ("c.rs", "")]);
    assert_eq!(uses(&graph, "a"), ["b", "c"]);
}

#[test]
fn a_bound_that_names_lifetimes_brings_nothing_and_hides_nothing() {
    let graph = graph(&[("a.rs", "fn f<'a>() -> impl X + use<'a> { crate::b::g() } fn h() {}"), ("b.rs", "")]);
    assert_eq!(uses(&graph, "a"), ["b"]);
}
