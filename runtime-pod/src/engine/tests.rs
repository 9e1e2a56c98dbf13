use wasmfn_crds::Reason;

use super::{imports, *};
use crate::{budget::Budget, code::Fingerprint, command::contract::Counting, samples};

fn engines() -> Arc<EngineSet> {
    EngineSet::new(4, Budget::new(1 << 30), false).unwrap()
}

/// Why a module is refused, before it is compiled or when it is linked.
fn refused(text: &str) -> CompileError {
    let module = wat::parse_str(text).unwrap();
    match Target::of(&module, Counting::default()) {
        Ok(target) => engines()
            .link("sha256:0", &samples::code(&module, target))
            .unwrap_err(),
        Err(error) => error,
    }
}

#[test]
fn everything_that_is_offered_can_be_imported() {
    for wasi in [Wasi::V0_2, Wasi::V0_3] {
        let combination = Combination {
            wasi,
            ..Combination::plain(Reset::Small)
        };
        let engine = engines().engine(combination).unwrap();
        for name in imports::offered_names(wasi) {
            let text = format!("(component (import \"{name}\" (instance)))");
            let bytes = wat::parse_str(text).unwrap();
            let component = wasmtime::component::Component::new(&engine.wasmtime, bytes).unwrap();
            let missing = imports::missing(&engine.wasmtime, &component, wasi);
            assert!(missing.is_empty(), "{name}");
            engine
                .linker
                .instantiate_pre(&component)
                .unwrap_or_else(|error| panic!("{name}: {error:#}"));
        }
    }
}

#[test]
fn wasi_0_3_services_are_refused_by_name_where_they_are_off() {
    let service = r#"(component (instance $a) (export "wasi:http/handler@0.3.0" (instance $a)))"#;
    let error = refused(service);
    assert_eq!(error.reason(), Reason::Unsupported);
    assert!(
        error.to_string().contains("`runtime.wasi03: true`"),
        "{error}"
    );
    // A component within another says nothing of the whole.
    let inside = format!("(component {service})");
    assert_eq!(refused(&inside).reason(), Reason::WrongExports);
}

#[test]
fn missing_imports_are_all_listed() {
    let error = refused(
        r#"(component
            (import "wasi:nn/graph@0.2.0" (instance))
            (import "team:store/items" (instance))
            (import "wasi:cli/environment@0.2.3" (instance))
            (import "wasi:cli/environment@0.3.0" (instance))
            (instance $handler)
            (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
    );
    assert_eq!(error.reason(), Reason::MissingImport);
    assert_eq!(
        error.to_string(),
        "the module imports what wasmfn does not offer: `team:store/items`, \
         `wasi:cli/environment@0.3.0`, `wasi:nn/graph@0.2.0`; \
         call a model over HTTP, with its host in `outbound.hosts`"
    );
}

#[test]
fn what_cannot_be_called_is_refused_by_what_it_is() {
    let cases = [
        (
            r#"(component (instance $a) (export "team:app/run@1.0.0" (instance $a)))"#,
            Reason::WrongExports,
            "it exports `team:app/run@1.0.0`",
        ),
        ("(component)", Reason::WrongExports, "it exports nothing"),
        (
            r#"(component (instance $a) (export "wasi:cli/run@0.2.0" (instance $a)))"#,
            Reason::Unsupported,
            "command",
        ),
        (
            r#"(module (func (export "add")) (func (export "sub")))"#,
            Reason::WrongExports,
            "`add`, `sub`, and it is a core module",
        ),
        (
            r#"(module
                (import "env" "abort" (func))
                (func (export "_start")))"#,
            Reason::MissingImport,
            "`env/abort`; a symbol was left undefined",
        ),
        (
            r#"(component
                (instance $handler)
                (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#,
            Reason::MissingImport,
            "cannot be linked",
        ),
    ];
    for (text, reason, part) in cases {
        let error = refused(text);
        assert_eq!(error.reason(), reason, "{error}");
        assert!(error.to_string().contains(part), "{error}");
    }
}

#[test]
fn an_engine_is_made_once_for_each_combination() {
    let engines = engines();
    let small = Combination::plain(Reset::Small);
    let first = engines.engine(small).unwrap();
    assert!(Arc::ptr_eq(&first, &engines.engine(small).unwrap()));
    let counting = Combination {
        counts_instructions: true,
        ..small
    };
    for other in [Combination::plain(Reset::Batch), counting] {
        let second = engines.engine(other).unwrap();
        assert!(!Arc::ptr_eq(&first, &second));
        assert_eq!(second.combination(), other);
        assert_eq!(second.slots().total(), 4);
    }
}

#[test]
fn an_engine_that_asks_for_too_much_makes_do_with_less() {
    let engines = EngineSet::new(200_000, Budget::new(1 << 30), false).unwrap();
    for reset in [Reset::Small, Reset::Batch] {
        let engine = engines.engine(Combination::plain(reset)).unwrap();
        let slots = engine.slots().total();
        assert!((1_001..200_000).contains(&slots), "{slots}");
    }
}

#[test]
fn a_module_is_reset_by_its_layout() {
    let engines = engines();
    let small = "(component (core module (memory 2)))";
    let large = "(component (core module (memory 17)))";
    let reset = |text| {
        let module = wat::parse_str(text).unwrap();
        engines.reset(layout::initial_end_bytes(&module))
    };
    assert_eq!(reset(small), Reset::Small);
    assert_ne!(reset(large), Reset::Small);
}

#[test]
fn the_version_is_the_one_that_is_built_with() {
    let lock = include_str!("../../../Cargo.lock");
    let entry = format!("name = \"wasmtime\"\nversion = \"{WASMTIME_VERSION}\"\n");
    assert!(lock.contains(&entry));
}

#[test]
fn code_is_served_by_the_engine_that_it_was_made_for() {
    let engines = engines();
    let module = samples::handler();
    for counts_instructions in [false, true] {
        let target = Target {
            counts_instructions,
            ..Target::of(&module, Counting::default()).unwrap()
        };
        let linked = engines.link("sha256:0", &samples::code(&module, target));
        let combination = linked.unwrap().engine().combination();
        assert_eq!(combination.wasi, Wasi::V0_2);
        assert_eq!(combination.counts_instructions, counts_instructions);
    }
}

#[test]
fn code_that_is_made_without_a_pool_has_the_name_of_code_that_a_pool_serves() {
    let engines = engines();
    let served = engines.engine(Combination::plain(Reset::Small)).unwrap();
    let served = Fingerprint::of(served.wasmtime(), WASMTIME_VERSION);
    assert_eq!(engines.fingerprint().unwrap(), served);
}
