//! One call of a command, from its request to its answer.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, header::CONTENT_TYPE};
use http_body_util::{BodyExt, Full};
use wasmfn_crds::spec::Contract;
use wasmtime::{InstancePre, Result, Store, Trap};
use wasmtime_wasi::I32Exit;

use super::{
    CommandError, CommandSandbox, cgi,
    contract::Terms,
    input::Input,
    json::{self, document},
    sandbox::{Standard, Surroundings},
};
use crate::{budget::Reservation, serve::AnswerBody, service::Begin};

/// The function that a command begins with.
pub(crate) const START: &str = "_start";

/// A JSON command that passes its budget goes on up to this multiple of it, so that the error can
/// say by how much. Nothing that it does can be seen but its answer, which is not sent.
const COUNTED_MULTIPLE: u64 = 2;

/// A call that is ready to run in its store.
pub(crate) struct Call {
    terms: Terms,
    input: Input,
    output: Output,
    /// The client gets no body, whatever the program prints.
    is_bodiless: bool,
}

enum Output {
    Cgi(cgi::Output),
    Json {
        output: json::Output,
        begin: Begin,
        /// Memory for the request's document.
        held: Reservation,
    },
}

impl Call {
    /// Makes the store for a call on `request`; its answer will go to `begin`.
    ///
    /// # Errors
    /// [`CommandError::BadRequest`] where the request makes no environment.
    pub(crate) fn prepare(
        terms: Terms,
        request: Request<AnswerBody>,
        surroundings: Surroundings<'_>,
        begin: Begin,
    ) -> std::result::Result<(Store<CommandSandbox>, Self), CommandError> {
        let (head, body) = request.into_parts();
        let input = Input::body(body);
        let own = surroundings.version.environment();
        let mut standard = Standard {
            arguments: vec![surroundings.function.to_owned()],
            variables: own.to_vec(),
            input: input.clone(),
            output: Box::new(tokio::io::empty()),
        };
        let output = match terms.contract {
            Contract::CGI => {
                let words = cgi::arguments(&head.method, head.uri.query());
                standard.arguments.extend(words);
                let variables = cgi::variables(&head)?;
                // What the function's owner sets, no client replaces.
                let is_free = |name: &str| own.iter().all(|(own, _)| own != name);
                let free = variables.into_iter().filter(|(name, _)| is_free(name));
                standard.variables.extend(free);
                let output = cgi::Output::new(begin);
                standard.output = Box::new(output.clone());
                Output::Cgi(output)
            }
            Contract::JSON => {
                let limit_bytes = surroundings.version.limits().response_bytes;
                let held = surroundings.reservation.beside();
                let output = json::Output::new(limit_bytes, held.beside());
                standard.output = Box::new(output.clone());
                Output::Json {
                    output,
                    begin,
                    held,
                }
            }
        };
        let call = Self {
            terms,
            input,
            output,
            is_bodiless: head.method == Method::HEAD,
        };
        Ok((CommandSandbox::store(surroundings, standard), call))
    }

    /// Runs the program to its end.
    ///
    /// # Errors
    /// [`CommandError`] within, where the contract was broken; else what wasmtime says of a trap.
    pub(crate) async fn run(
        mut self,
        store: &mut Store<CommandSandbox>,
        program: InstancePre<CommandSandbox>,
    ) -> Result<()> {
        if let Output::Json { held, .. } = &mut self.output {
            let document = self.input.whole(held).await?;
            document::check(&document).map_err(CommandError::RequestNotJson)?;
        }
        let granted = self.granted();
        if let Some(granted) = granted {
            store.set_fuel(granted)?;
        }
        let result = start(store, &program).await;
        if let (Some(budget), Some(granted)) = (self.terms.instructions, granted) {
            within_budget(budget, granted, store, &result)?;
        }
        match self.output {
            Output::Cgi(output) => output.finish(self.is_bodiless, exited(result)),
            Output::Json { output, begin, .. } => {
                exited(result)?;
                let (printed, held) = output.take()?;
                document::check(&printed).map_err(CommandError::AnswerNotJson)?;
                begin(document(printed, held));
                Ok(())
            }
        }
    }

    /// Instructions that the program may use before it is ended.
    fn granted(&self) -> Option<u64> {
        let budget = self.terms.instructions?;
        Some(match self.output {
            // Its answer may be on its way.
            Output::Cgi(_) => budget,
            Output::Json { .. } => budget.saturating_mul(COUNTED_MULTIPLE),
        })
    }
}

async fn start(
    store: &mut Store<CommandSandbox>,
    program: &InstancePre<CommandSandbox>,
) -> Result<()> {
    let instance = program.instantiate_async(&mut *store).await?;
    let start = instance.get_typed_func::<(), ()>(&mut *store, START)?;
    start.call_async(store, ()).await
}

/// Whether the program kept within its budget.
fn within_budget(
    budget: u64,
    granted: u64,
    store: &Store<CommandSandbox>,
    result: &Result<()>,
) -> Result<()> {
    let trap = result.as_ref().err().and_then(|error| error.downcast_ref());
    if trap == Some(&Trap::OutOfFuel) {
        return Err(CommandError::FarOverBudget {
            used: granted,
            budget,
        }
        .into());
    }
    let used = granted.saturating_sub(store.get_fuel()?);
    if used > budget {
        return Err(CommandError::OverBudget { used, budget }.into());
    }
    Ok(())
}

/// What an exit comes to: with 0 it is a return like any other.
fn exited(result: Result<()>) -> Result<()> {
    let Err(error) = result else {
        return Ok(());
    };
    match error.downcast_ref() {
        Some(I32Exit(0)) => Ok(()),
        Some(I32Exit(code)) => Err(CommandError::Exited(*code).into()),
        None => Err(error),
    }
}

/// The answer of a JSON command; `held` is for it until it is sent.
fn document(printed: Bytes, held: Reservation) -> Response<AnswerBody> {
    let body = Full::new(printed).map_err(move |never| {
        let _held = &held;
        match never {}
    });
    let mut answer = Response::new(body.boxed_unsync());
    let kind = HeaderValue::from_static("application/json");
    answer.headers_mut().insert(CONTENT_TYPE, kind);
    answer
}

#[cfg(test)]
mod tests {
    use wasmtime::Error;

    use super::*;

    #[test]
    fn an_exit_with_zero_is_a_return() {
        assert!(exited(Ok(())).is_ok());
        assert!(exited(Err(Error::from(I32Exit(0)))).is_ok());
        let error = exited(Err(Error::from(I32Exit(3)))).unwrap_err();
        assert!(matches!(
            error.downcast_ref(),
            Some(CommandError::Exited(3))
        ));
        let error = exited(Err(Trap::UnreachableCodeReached.into())).unwrap_err();
        assert!(error.is::<Trap>());
    }
}
