/// What comments promises.
pub trait Comments: ::core::marker::Send + ::core::marker::Sync + 'static {
    /// Adds a comment.
    fn add(
        &self,
        cx: &Context,
        post: PostId,
        comment: NewComment,
    ) -> impl ::core::future::Future<
        Output = Answer<Comment, AddRefused>,
    > + ::core::marker::Send;
    fn all(
        &self,
        cx: &Context,
    ) -> impl ::core::future::Future<
        Output = Answer<Vec<Comment>>,
    > + ::core::marker::Send;
}
/** Calls [`Comments`], wherever it runs. Cheap to clone.

 A method costs a function call when the service is in this process, and a round trip when it is not. It waits no longer than the deadline of its context.*/
#[derive(::core::clone::Clone, ::core::fmt::Debug)]
pub struct CommentsClient {
    link: ::divisi::private::call::Link<dyn __CommentsLocal>,
}
#[allow(clippy::too_many_arguments)]
trait __CommentsLocal: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn add<'__call>(
        &'__call self,
        cx: ::divisi::private::contract::Context,
        post: PostId,
        comment: NewComment,
    ) -> ::divisi::private::call::BoxFuture<'__call, Answer<Comment, AddRefused>>;
    fn all<'__call>(
        &'__call self,
        cx: ::divisi::private::contract::Context,
    ) -> ::divisi::private::call::BoxFuture<'__call, Answer<Vec<Comment>>>;
}
#[allow(deprecated)]
const _: () = {
    const _: () = ::divisi::private::contract::travels::travels::<PostId>();
    const _: () = ::divisi::private::contract::travels::travels::<NewComment>();
    const _: () = ::divisi::private::contract::travels::travels::<Comment>();
    #[derive(::divisi::private::serde::Serialize)]
    #[serde(crate = ":: divisi :: private :: serde")]
    struct __AddSent<'__call> {
        post: &'__call PostId,
        comment: &'__call NewComment,
    }
    #[derive(::divisi::private::serde::Deserialize)]
    #[serde(crate = ":: divisi :: private :: serde")]
    struct __AddReceived {
        post: PostId,
        comment: NewComment,
    }
    const __ADD: &::divisi::private::call::Call = &::divisi::private::call::Call {
        contract: "comments",
        version: 1u32,
        method: "add",
        repeat: ::divisi::private::contract::Repeat::Keyed,
    };
    const _: () = ::divisi::private::contract::travels::travels::<Vec<Comment>>();
    #[derive(::divisi::private::serde::Serialize)]
    #[serde(crate = ":: divisi :: private :: serde")]
    struct __AllSent {}
    #[derive(::divisi::private::serde::Deserialize)]
    #[serde(crate = ":: divisi :: private :: serde")]
    struct __AllReceived {}
    const __ALL: &::divisi::private::call::Call = &::divisi::private::call::Call {
        contract: "comments",
        version: 1u32,
        method: "all",
        repeat: ::divisi::private::contract::Repeat::Idempotent,
    };
    impl CommentsClient {
        /// Adds a comment.
        #[allow(clippy::too_many_arguments)]
        pub fn add<'__call>(
            &'__call self,
            cx: &'__call Context,
            post: PostId,
            comment: NewComment,
        ) -> ::divisi::private::call::Calling<'__call, Comment, AddRefused> {
            match self.link.way::<AddRefused>(cx) {
                ::core::result::Result::Ok(
                    ::divisi::private::call::client::Way::Local(callee, held),
                ) => {
                    if let ::core::result::Result::Err(error) = ::divisi::private::call::in_process::could_travel::<
                        _,
                        __AddReceived,
                        AddRefused,
                    >(
                        &__AddSent {
                            post: &post,
                            comment: &comment,
                        },
                    ) {
                        return ::divisi::private::call::Calling::not_run(error);
                    }
                    let derived = self.link.context(__ADD, cx);
                    ::divisi::private::call::Calling::local(
                        held,
                        derived.deadline(),
                        __CommentsLocal::add(&**callee, derived, post, comment),
                    )
                }
                ::core::result::Result::Ok(
                    ::divisi::private::call::client::Way::Remote(callee, held),
                ) => {
                    self.link
                        .remote::<
                            _,
                            Comment,
                            AddRefused,
                        >(
                            callee,
                            held,
                            __ADD,
                            cx,
                            &__AddSent {
                                post: &post,
                                comment: &comment,
                            },
                        )
                }
                ::core::result::Result::Err(error) => {
                    ::divisi::private::call::Calling::not_run(error)
                }
            }
        }
        /// Calls [`Comments::all`].
        #[allow(clippy::too_many_arguments)]
        pub fn all<'__call>(
            &'__call self,
            cx: &'__call Context,
        ) -> ::divisi::private::call::Calling<
            '__call,
            Vec<Comment>,
            ::divisi::private::contract::NoRefusal,
        > {
            match self.link.way::<::divisi::private::contract::NoRefusal>(cx) {
                ::core::result::Result::Ok(
                    ::divisi::private::call::client::Way::Local(callee, held),
                ) => {
                    if let ::core::result::Result::Err(error) = ::divisi::private::call::in_process::could_travel::<
                        _,
                        __AllReceived,
                        ::divisi::private::contract::NoRefusal,
                    >(&__AllSent {}) {
                        return ::divisi::private::call::Calling::not_run(error);
                    }
                    let derived = self.link.context(__ALL, cx);
                    ::divisi::private::call::Calling::local(
                        held,
                        derived.deadline(),
                        __CommentsLocal::all(&**callee, derived),
                    )
                }
                ::core::result::Result::Ok(
                    ::divisi::private::call::client::Way::Remote(callee, held),
                ) => {
                    self.link
                        .remote::<
                            _,
                            Vec<Comment>,
                            ::divisi::private::contract::NoRefusal,
                        >(callee, held, __ALL, cx, &__AllSent {})
                }
                ::core::result::Result::Err(error) => {
                    ::divisi::private::call::Calling::not_run(error)
                }
            }
        }
        /// Serves [`Comments`] with `service`. What its keyed methods answer is kept in `answers`; without it a call with an idempotency key is refused as a bug.
        pub fn serve<__Service: Comments>(
            service: ::std::sync::Arc<__Service>,
            answers: ::core::option::Option<
                ::std::sync::Arc<dyn ::divisi::private::contract::KeptAnswers>,
            >,
        ) -> ::divisi::private::call::Served {
            let service = ::std::sync::Arc::new(__CommentsServer {
                service: service,
                answers: answers,
            });
            let local: ::std::sync::Arc<dyn __CommentsLocal> = ::std::sync::Arc::clone(
                &service,
            ) as _;
            ::divisi::private::call::Served::new(
                <CommentsClient as ::divisi::private::call::Client>::contract(),
                service,
                ::std::sync::Arc::new(local),
            )
        }
    }
    impl ::divisi::private::call::Client for CommentsClient {
        fn contract() -> &'static ::divisi::private::contract::Contract {
            static CONTRACT: ::std::sync::LazyLock<
                ::divisi::private::contract::Contract,
            > = ::std::sync::LazyLock::new(|| ::divisi::private::contract::Contract {
                name: ::std::string::String::from("comments"),
                version: 1u32,
                docs: ::std::string::String::from("What comments promises."),
                methods: ::std::vec![
                    ::divisi::private::contract::Method { name :
                    ::std::string::String::from("add"), docs :
                    ::std::string::String::from("Adds a comment."), repeat :
                    ::divisi::private::contract::Repeat::Keyed, routes :
                    ::std::vec![::divisi::private::contract::Route { verb :
                    ::divisi::private::contract::Verb::Post, path :
                    ::std::string::String::from("/posts/{post}/comments"), status :
                    201u16, }], arguments :
                    ::std::vec![::divisi::private::contract::Argument { name :
                    ::std::string::String::from("post"), schema :
                    ::divisi::private::contract::schema::of:: < PostId > (), },
                    ::divisi::private::contract::Argument { name :
                    ::std::string::String::from("comment"), schema :
                    ::divisi::private::contract::schema::of:: < NewComment > (), }],
                    answer : ::divisi::private::contract::schema::of:: < Comment > (),
                    refusals : < AddRefused as ::divisi::private::contract::Refusal >
                    ::specs(), }, ::divisi::private::contract::Method { name :
                    ::std::string::String::from("all"), docs :
                    ::std::string::String::from(""), repeat :
                    ::divisi::private::contract::Repeat::Idempotent, routes :
                    ::std::vec![::divisi::private::contract::Route { verb :
                    ::divisi::private::contract::Verb::Get, path :
                    ::std::string::String::from("/comments"), status : 200, }], arguments
                    : ::std::vec![], answer : ::divisi::private::contract::schema::of:: <
                    Vec < Comment > > (), refusals : <
                    ::divisi::private::contract::NoRefusal as
                    ::divisi::private::contract::Refusal > ::specs(), }
                ],
            });
            &CONTRACT
        }
        fn over(
            caller: ::divisi::private::contract::ServiceName,
            route: ::std::sync::Arc<::divisi::private::call::Route>,
        ) -> Self {
            CommentsClient {
                link: ::divisi::private::call::Link::new(caller, "comments", route),
            }
        }
    }
    impl ::divisi::private::call::Edge for CommentsClient {
        fn contract(&self) -> &'static ::divisi::private::contract::Contract {
            <Self as ::divisi::private::call::Client>::contract()
        }
        fn call<'__call>(
            &'__call self,
            method: usize,
            cx: &'__call ::divisi::private::contract::Context,
            request: ::divisi::private::call::EdgeRequest<'__call>,
        ) -> ::divisi::private::call::BoxFuture<
            '__call,
            ::core::result::Result<
                ::std::vec::Vec<u8>,
                ::divisi::private::call::EdgeError,
            >,
        > {
            match method {
                0usize => {
                    ::std::boxed::Box::pin(async move {
                        let mut parts = ::divisi::private::call::edge::Parts::new(
                            request,
                        );
                        let post = parts.path::<PostId>("post");
                        let comment = parts.body::<NewComment>();
                        match (post, comment) {
                            (
                                ::core::option::Option::Some(post),
                                ::core::option::Option::Some(comment),
                            ) => {
                                ::divisi::private::call::edge::answer::<
                                    Comment,
                                    AddRefused,
                                >(CommentsClient::add(self, cx, post, comment).await)
                            }
                            _ => ::core::result::Result::Err(parts.into_error()),
                        }
                    })
                }
                1usize => {
                    ::std::boxed::Box::pin(async move {
                        let _ = request;
                        ::divisi::private::call::edge::answer::<
                            Vec<Comment>,
                            ::divisi::private::contract::NoRefusal,
                        >(CommentsClient::all(self, cx).await)
                    })
                }
                _ => {
                    ::std::boxed::Box::pin(
                        ::core::future::ready(
                            ::core::result::Result::Err(
                                ::divisi::private::call::edge::no_such_route("comments"),
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
            ::std::sync::Arc<dyn ::divisi::private::contract::KeptAnswers>,
        >,
    }
    impl<__Service: Comments> __CommentsLocal for __CommentsServer<__Service> {
        fn add<'__call>(
            &'__call self,
            cx: ::divisi::private::contract::Context,
            post: PostId,
            comment: NewComment,
        ) -> ::divisi::private::call::BoxFuture<'__call, Answer<Comment, AddRefused>> {
            ::std::boxed::Box::pin(async move {
                match ::divisi::private::call::dispatch::keyed::<
                    Comment,
                    AddRefused,
                    _,
                >(
                        self.answers.as_ref(),
                        __ADD,
                        cx,
                        &__AddSent {
                            post: &post,
                            comment: &comment,
                        },
                    )
                    .await?
                {
                    ::divisi::private::call::dispatch::Kept::Answer(kept) => {
                        ::core::result::Result::Ok(kept)
                    }
                    ::divisi::private::call::dispatch::Kept::Run(cx) => {
                        <__Service as Comments>::add(&self.service, &cx, post, comment)
                            .await
                    }
                }
            })
        }
        fn all<'__call>(
            &'__call self,
            cx: ::divisi::private::contract::Context,
        ) -> ::divisi::private::call::BoxFuture<'__call, Answer<Vec<Comment>>> {
            ::std::boxed::Box::pin(async move {
                <__Service as Comments>::all(&self.service, &cx).await
            })
        }
    }
    impl<__Service: Comments> ::divisi::private::call::Serves<__Service>
    for CommentsClient {
        fn served(
            service: ::std::sync::Arc<__Service>,
            answers: ::core::option::Option<
                ::std::sync::Arc<dyn ::divisi::private::contract::KeptAnswers>,
            >,
        ) -> ::divisi::private::call::Served {
            CommentsClient::serve(service, answers)
        }
    }
    impl<__Service: Comments> ::divisi::private::call::Dispatch
    for __CommentsServer<__Service> {
        fn dispatch(
            self: ::std::sync::Arc<Self>,
            method: &str,
            cx: ::divisi::private::contract::Context,
            bytes: ::divisi::private::bytes::Bytes,
        ) -> ::divisi::private::call::BoxFuture<
            'static,
            ::core::result::Result<
                ::divisi::private::bytes::Bytes,
                ::divisi::private::contract::CallError<::divisi::private::bytes::Bytes>,
            >,
        > {
            match method {
                "add" => {
                    ::std::boxed::Box::pin(async move {
                        ::divisi::private::call::in_process::in_time(&cx)?;
                        let deadline = cx.deadline();
                        let work = ::core::pin::pin!(
                            async move { let received : __AddReceived =
                            ::divisi::private::call::dispatch::arguments(& bytes) ?;
                            ::divisi::private::call::dispatch::outcome:: < Comment,
                            AddRefused > (__CommentsLocal::add(& * self, cx, received
                            .post, received.comment). await,) }
                        );
                        ::divisi::private::call::in_process::within(deadline, work).await
                    })
                }
                "all" => {
                    ::std::boxed::Box::pin(async move {
                        ::divisi::private::call::in_process::in_time(&cx)?;
                        let deadline = cx.deadline();
                        let work = ::core::pin::pin!(
                            async move { let received : __AllReceived =
                            ::divisi::private::call::dispatch::arguments(& bytes) ?;
                            ::divisi::private::call::dispatch::outcome:: < Vec < Comment
                            >, ::divisi::private::contract::NoRefusal >
                            (__CommentsLocal::all(& * self, cx,). await,) }
                        );
                        ::divisi::private::call::in_process::within(deadline, work).await
                    })
                }
                _ => {
                    let error = ::divisi::private::call::dispatch::no_such_method(
                        "comments",
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
