//! Instances find nothing of those that were in their slot before them, in whichever way it is made
//! fresh: each marks all that it has, and looks for the marks of others first.

use std::sync::Arc;

use wasmtime::{Instance, Module, Store};

use super::{Combination, Engine, EngineSet, Reset};
use crate::budget::Budget;

/// Few, so that each is used by many instances.
const SLOTS: u32 = 4;
/// Instances of each module's layout and class, and those where the kernel is kept busy as well.
const INSTANCES: usize = 1000;
const INSTANCES_UNDER_PRESSURE: usize = 300;
/// Instances between two disturbances.
const PRESSURE_INTERVAL: usize = 50;
/// Where instances look, in this order: to look into the memory makes it grow.
const PLACES: [&str; 5] = ["size", "global", "stack", "memory", "table"];
/// Instances that live at the same time, so that they change slots.
const ALIVE: usize = 3;

/// Memory that is taken and given back to disturb the kernel.
const PRESSURE_BYTES: usize = 128 << 20;

/// What a small guest lays out, a guest of the usual size, and how many pages each grows by: beyond
/// what any class copies.
const LAYOUTS: [(u32, u32); 2] = [(2, 10), (18, 18)];

/// A guest of `pages` of memory that grows by `growth`, with `image` in its data.
fn guest(pages: u32, growth: u32, image: u32) -> String {
    format!(
        r#"(module
            (memory {pages})
            (data (i32.const 1024) "\{image:02x}\{image:02x}\{image:02x}\{image:02x}")
            (table $table 8 64 funcref)
            (elem (table $table) (i32.const 0) func $something)
            (elem declare func $something)
            (global $global (mut i64) (i64.const 7))
            (func $something)

            ;; Calls itself, each time with locals that nobody wrote: returns their sum.
            (func $stack (param $depth i32) (result i64)
                (local $a i64) (local $b i64) (local $c i64) (local $found i64)
                (local.set $found (i64.or (local.get $a) (i64.or (local.get $b) (local.get $c))))
                (local.set $a (i64.const 81985529216486895))
                (local.set $b (local.get $a))
                (local.set $c (local.get $b))
                (if (local.get $depth) (then
                    (local.set $found (i64.or (local.get $found)
                        (call $stack (i32.sub (local.get $depth) (i32.const 1)))))))
                (i64.or (local.get $found) (i64.xor (local.get $b) (local.get $c))))

            ;; Each counts what is not as the module begins.
            (func (export "size") (result i32)
                (i32.add
                    (i32.ne (memory.size) (i32.const {pages}))
                    (i32.ne (table.size $table) (i32.const 8))))
            (func (export "global") (result i32)
                (i64.ne (global.get $global) (i64.const 7)))
            (func (export "stack") (result i32)
                (i64.ne (call $stack (i32.const 100)) (i64.const 0)))
            (func (export "memory") (result i32)
                (local $address i32) (local $end i32) (local $marks i32)
                (local.set $marks (i32.ne (i32.load (i32.const 1024)) (i32.const {word})))
                (i32.store (i32.const 1024) (i32.const 0))
                (drop (memory.grow (i32.const {growth})))
                (local.set $end (i32.mul (memory.size) (i32.const 65536)))
                (loop $next
                    (local.set $marks (i32.add (local.get $marks)
                        (i64.ne (i64.load (local.get $address)) (i64.const 0))))
                    (local.set $address (i32.add (local.get $address) (i32.const 8)))
                    (br_if $next (i32.lt_u (local.get $address) (local.get $end))))
                (local.get $marks))
            (func (export "table") (result i32)
                (local $index i32) (local $marks i32)
                (drop (table.grow $table (ref.null func) (i32.const 40)))
                (local.set $index (i32.const 1))
                (loop $next
                    (local.set $marks (i32.add (local.get $marks)
                        (i32.eqz (ref.is_null (table.get $table (local.get $index))))))
                    (local.set $index (i32.add (local.get $index) (i32.const 1)))
                    (br_if $next (i32.lt_u (local.get $index) (table.size $table))))
                (local.get $marks))

            (func (export "mark")
                (memory.fill (i32.const 0) (i32.const 77)
                    (i32.mul (memory.size) (i32.const 65536)))
                (table.fill $table (i32.const 0) (ref.func $something) (table.size $table))
                (global.set $global (i64.const 78))))"#,
        word = u32::from_ne_bytes([u8::try_from(image).expect("a byte"); 4]),
    )
}

/// One engine of a class, and modules with different data.
struct Trial {
    engine: Arc<Engine>,
    modules: Vec<Module>,
}

impl Trial {
    fn new(reset: Reset, (pages, growth): (u32, u32)) -> Option<Self> {
        let engines = EngineSet::new(SLOTS, Budget::new(1 << 30), false).unwrap();
        let engine = engines.engine(Combination::plain(reset)).unwrap();
        if engine.wasmtime().pooling_allocator_metrics().is_none() {
            // Only the scan is not to be had on every kernel; without it there is no pool.
            assert_eq!(reset, Reset::Scan, "there is no pool");
            eprintln!("skipped: the kernel offers no scan for written pages");
            return None;
        }
        let modules = [17, 18, 19].map(|image| {
            let bytes = wat::parse_str(guest(pages, growth, image)).unwrap();
            Module::new(engine.wasmtime(), bytes).unwrap()
        });
        Some(Self {
            engine,
            modules: modules.to_vec(),
        })
    }

    async fn instance(&self, number: usize) -> Guest {
        let module = &self.modules[number % self.modules.len()];
        let mut store = Store::new(self.engine.wasmtime(), ());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = Instance::new_async(&mut store, module, &[]).await.unwrap();
        Guest { store, instance }
    }

    /// Lets instances look for marks, then leave theirs, one after the other and several alive.
    async fn is_fresh(&self, instances: usize, disturb: impl Fn()) {
        let mut alive = Vec::new();
        for number in 0..instances {
            if number % PRESSURE_INTERVAL == 0 {
                disturb();
            }
            let mut guest = self.instance(number).await;
            let found = guest.look().await;
            assert_eq!(found, PLACES.map(|place| (place, 0)), "instance {number}");
            guest.mark().await;
            alive.push(guest);
            if alive.len() > ALIVE {
                alive.swap_remove(number * 7 % ALIVE);
            }
        }
    }
}

struct Guest {
    store: Store<()>,
    instance: Instance,
}

impl Guest {
    /// What it finds of others, by where it is.
    async fn look(&mut self) -> [(&'static str, i32); 5] {
        let mut found = PLACES.map(|place| (place, 0));
        for (place, marks) in &mut found {
            let look = self
                .instance
                .get_typed_func::<(), i32>(&mut self.store, place);
            *marks = look.unwrap().call_async(&mut self.store, ()).await.unwrap();
        }
        found
    }

    async fn mark(&mut self) {
        let mark = self
            .instance
            .get_typed_func::<(), ()>(&mut self.store, "mark");
        mark.unwrap().call_async(&mut self.store, ()).await.unwrap();
    }
}

async fn is_fresh(reset: Reset, instances: usize, disturb: impl Fn()) {
    for layout in LAYOUTS {
        if let Some(trial) = Trial::new(reset, layout) {
            trial.is_fresh(instances, &disturb).await;
        }
    }
}

#[tokio::test]
async fn a_slot_that_was_copied_is_fresh() {
    is_fresh(Reset::Small, INSTANCES, || {}).await;
}

#[tokio::test]
async fn a_slot_that_was_scanned_is_fresh() {
    is_fresh(Reset::Scan, INSTANCES, || {}).await;
}

#[tokio::test]
async fn a_slot_that_was_given_back_is_fresh() {
    is_fresh(Reset::Batch, INSTANCES, || {}).await;
}

/// Has the kernel move pages about, and want some back: into swap, where there is any.
fn disturb() {
    // Refused to all but the superuser.
    let _ = std::fs::write("/proc/sys/vm/compact_memory", "1");
    std::hint::black_box(vec![1_u8; PRESSURE_BYTES]);
}

#[tokio::test]
async fn slots_are_fresh_also_under_pressure() {
    for reset in [Reset::Small, Reset::Scan, Reset::Batch] {
        is_fresh(reset, INSTANCES_UNDER_PRESSURE, disturb).await;
    }
}

/// The tests above would fail if slots were not made fresh: an instance that is used again is one in a
/// slot that was not.
#[tokio::test]
async fn marks_are_found_where_nothing_is_made_fresh() {
    for layout in LAYOUTS {
        let trial = Trial::new(Reset::Small, layout).unwrap();
        let mut guest = trial.instance(0).await;
        guest.look().await;
        guest.mark().await;
        for (place, marks) in guest.look().await {
            // A local begins as zero wherever it lies.
            assert_eq!(marks > 0, place != "stack", "{place}: {marks}");
        }
    }
}
