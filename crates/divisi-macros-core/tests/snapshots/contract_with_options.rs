trait Comments: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn r#move(
        &self,
        context: &divisi::Context,
        r#type: u8,
    ) -> impl ::core::future::Future<Output = divisi::Answer<()>> + ::core::marker::Send;
}
/** Calls [`Comments`], wherever it runs. Cheap to clone.

 A method costs a function call when the service is in this process, and a round trip when it is not. It waits no longer than the deadline of its context.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
struct CommentsClient {
    link: crate::toolkit::private::call::Link<dyn __CommentsLocal>,
}
#[allow(clippy::too_many_arguments)]
trait __CommentsLocal: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn r#move<'__call>(
        &'__call self,
        context: crate::toolkit::private::contract::Context,
        r#type: u8,
    ) -> crate::toolkit::private::call::BoxFuture<'__call, divisi::Answer<()>>;
}
#[allow(deprecated)]
const _: () = {
    const _: () = crate::toolkit::private::contract::travels::travels::<u8>();
    const _: () = crate::toolkit::private::contract::travels::travels::<()>();
    #[derive(crate::toolkit::private::serde::Serialize)]
    #[serde(crate = "crate :: toolkit :: private :: serde")]
    struct __MoveSent<'__call> {
        r#type: &'__call u8,
    }
    #[derive(crate::toolkit::private::serde::Deserialize)]
    #[serde(crate = "crate :: toolkit :: private :: serde")]
    struct __MoveReceived {
        r#type: u8,
    }
    const __MOVE: &crate::toolkit::private::call::Call = &crate::toolkit::private::call::Call {
        contract: "remarks",
        version: 3u32,
        method: "move",
        repeat: crate::toolkit::private::contract::Repeat::Once,
    };
    impl CommentsClient {
        /// Calls [`Comments::r#move`].
        #[allow(clippy::too_many_arguments)]
        fn r#move<'__call>(
            &'__call self,
            context: &'__call divisi::Context,
            r#type: u8,
        ) -> crate::toolkit::private::call::Calling<
            '__call,
            (),
            crate::toolkit::private::contract::NoRefusal,
        > {
            match self.link.way::<crate::toolkit::private::contract::NoRefusal>(context)
            {
                ::core::result::Result::Ok(
                    crate::toolkit::private::call::client::Way::Local(callee, held),
                ) => {
                    if let ::core::result::Result::Err(error) = crate::toolkit::private::call::in_process::could_travel::<
                        _,
                        __MoveReceived,
                        crate::toolkit::private::contract::NoRefusal,
                    >(&__MoveSent { r#type: &r#type }) {
                        return crate::toolkit::private::call::Calling::not_run(error);
                    }
                    let derived = self.link.context(__MOVE, context);
                    crate::toolkit::private::call::Calling::local(
                        held,
                        derived.deadline(),
                        __CommentsLocal::r#move(&**callee, derived, r#type),
                    )
                }
                ::core::result::Result::Ok(
                    crate::toolkit::private::call::client::Way::Remote(callee, held),
                ) => {
                    self.link
                        .remote::<
                            _,
                            (),
                            crate::toolkit::private::contract::NoRefusal,
                        >(callee, held, __MOVE, context, &__MoveSent { r#type: &r#type })
                }
                ::core::result::Result::Err(error) => {
                    crate::toolkit::private::call::Calling::not_run(error)
                }
            }
        }
        /// Serves [`Comments`] with `service`. What its keyed methods answer is kept in `answers`; without it a call with an idempotency key is refused as a bug.
        fn serve<__Service: Comments>(
            service: ::std::sync::Arc<__Service>,
            answers: ::core::option::Option<
                ::std::sync::Arc<dyn crate::toolkit::private::contract::KeptAnswers>,
            >,
        ) -> crate::toolkit::private::call::Served {
            let service = ::std::sync::Arc::new(__CommentsServer {
                service: service,
                answers: answers,
            });
            let local: ::std::sync::Arc<dyn __CommentsLocal> = ::std::sync::Arc::clone(
                &service,
            ) as _;
            crate::toolkit::private::call::Served::new(
                <CommentsClient as crate::toolkit::private::call::Client>::contract(),
                service,
                ::std::sync::Arc::new(local),
            )
        }
    }
    impl crate::toolkit::private::call::Client for CommentsClient {
        fn contract() -> &'static crate::toolkit::private::contract::Contract {
            static CONTRACT: ::std::sync::LazyLock<
                crate::toolkit::private::contract::Contract,
            > = ::std::sync::LazyLock::new(|| crate::toolkit::private::contract::Contract {
                name: ::std::string::String::from("remarks"),
                version: 3u32,
                docs: ::std::string::String::from(""),
                methods: ::std::vec![
                    crate ::toolkit::private::contract::Method { name :
                    ::std::string::String::from("move"), docs :
                    ::std::string::String::from(""), repeat : crate
                    ::toolkit::private::contract::Repeat::Once, routes : ::std::vec![],
                    arguments : ::std::vec![crate ::toolkit::private::contract::Argument
                    { name : ::std::string::String::from("type"), schema : crate
                    ::toolkit::private::contract::schema::of:: < u8 > (), }], answer :
                    crate ::toolkit::private::contract::schema::of:: < () > (), refusals
                    : < crate ::toolkit::private::contract::NoRefusal as crate
                    ::toolkit::private::contract::Refusal > ::specs(), }
                ],
            });
            &CONTRACT
        }
        fn over(
            caller: crate::toolkit::private::contract::ServiceName,
            route: ::std::sync::Arc<crate::toolkit::private::call::Route>,
        ) -> Self {
            CommentsClient {
                link: crate::toolkit::private::call::Link::new(caller, "remarks", route),
            }
        }
    }
    impl crate::toolkit::private::call::Edge for CommentsClient {
        fn contract(&self) -> &'static crate::toolkit::private::contract::Contract {
            <Self as crate::toolkit::private::call::Client>::contract()
        }
        fn call<'__call>(
            &'__call self,
            method: usize,
            cx: &'__call crate::toolkit::private::contract::Context,
            request: crate::toolkit::private::call::EdgeRequest<'__call>,
        ) -> crate::toolkit::private::call::BoxFuture<
            '__call,
            ::core::result::Result<
                ::std::vec::Vec<u8>,
                crate::toolkit::private::call::EdgeError,
            >,
        > {
            match method {
                _ => {
                    ::std::boxed::Box::pin(
                        ::core::future::ready(
                            ::core::result::Result::Err(
                                crate::toolkit::private::call::edge::no_such_route(
                                    "remarks",
                                ),
                            ),
                        ),
                    )
                }
            }
        }
    }
    struct __CommentsServer<__Service> {
        service: ::std::sync::Arc<__Service>,
        #[allow(dead_code)]
        answers: ::core::option::Option<
            ::std::sync::Arc<dyn crate::toolkit::private::contract::KeptAnswers>,
        >,
    }
    impl<__Service: Comments> __CommentsLocal for __CommentsServer<__Service> {
        fn r#move<'__call>(
            &'__call self,
            context: crate::toolkit::private::contract::Context,
            r#type: u8,
        ) -> crate::toolkit::private::call::BoxFuture<'__call, divisi::Answer<()>> {
            ::std::boxed::Box::pin(async move {
                <__Service as Comments>::r#move(&self.service, &context, r#type).await
            })
        }
    }
    impl<__Service: Comments> crate::toolkit::private::call::Serves<__Service>
    for CommentsClient {
        fn served(
            service: ::std::sync::Arc<__Service>,
            answers: ::core::option::Option<
                ::std::sync::Arc<dyn crate::toolkit::private::contract::KeptAnswers>,
            >,
        ) -> crate::toolkit::private::call::Served {
            CommentsClient::serve(service, answers)
        }
    }
    impl<__Service: Comments> crate::toolkit::private::call::Dispatch
    for __CommentsServer<__Service> {
        fn dispatch(
            self: ::std::sync::Arc<Self>,
            method: &str,
            cx: crate::toolkit::private::contract::Context,
            bytes: crate::toolkit::private::bytes::Bytes,
        ) -> crate::toolkit::private::call::BoxFuture<
            'static,
            ::core::result::Result<
                crate::toolkit::private::bytes::Bytes,
                crate::toolkit::private::contract::CallError<
                    crate::toolkit::private::bytes::Bytes,
                >,
            >,
        > {
            match method {
                "move" => {
                    ::std::boxed::Box::pin(async move {
                        crate::toolkit::private::call::in_process::in_time(&cx)?;
                        let deadline = cx.deadline();
                        let work = ::core::pin::pin!(
                            async move { let received : __MoveReceived = crate
                            ::toolkit::private::call::dispatch::arguments(& bytes) ?;
                            crate ::toolkit::private::call::dispatch::outcome:: < (),
                            crate ::toolkit::private::contract::NoRefusal >
                            (__CommentsLocal::r#move(& * self, cx, received.r#type).
                            await,) }
                        );
                        crate::toolkit::private::call::in_process::within(deadline, work)
                            .await
                    })
                }
                _ => {
                    let error = crate::toolkit::private::call::dispatch::no_such_method(
                        "remarks",
                        method,
                    );
                    ::std::boxed::Box::pin(async move {
                        ::core::result::Result::Err(error)
                    })
                }
            }
        }
    }
};
