//! `wasi:logging` as guests call it.

use wasmtime::{
    Result,
    component::{HasData, Linker},
};

use super::{LINE_MAX_BYTES, RequestLog, Source};
use wasmfn_crds::condition::cut;

/// Longest context; the rest of a longer one is cut.
const CONTEXT_MAX_BYTES: usize = 256;

mod bindings {
    wasmtime::component::bindgen!({
        path: "wit/logging.wit",
        world: "wasi:logging/imports",
    });
}

use bindings::wasi::logging::logging::{self, Level};

impl logging::Host for RequestLog {
    fn log(&mut self, level: Level, context: String, message: String) {
        let level = match level {
            Level::Trace => "trace",
            Level::Debug => "debug",
            Level::Info => "info",
            Level::Warn => "warn",
            Level::Error => "error",
            Level::Critical => "critical",
        };
        let context = cut(&context, CONTEXT_MAX_BYTES);
        let source = Source::Logging { level, context };
        self.line(source, cut(&message, LINE_MAX_BYTES));
    }
}

struct HasLog;

impl HasData for HasLog {
    type Data<'a> = &'a mut RequestLog;
}

/// Offers `wasi:logging`, which writes to the log that `log` finds.
pub(crate) fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    log: fn(&mut T) -> &mut RequestLog,
) -> Result<()> {
    logging::add_to_linker::<T, HasLog>(linker, log)
}
