::core::compile_error! {
    "a contract method returns `Answer<T>`, or `Answer<T, R>` if it may refuse with `R`: a caller must learn what happened even when no answer came"
}
trait Comments: ::core::marker::Send + ::core::marker::Sync + 'static {
    fn all(
        &self,
        cx: &Context,
    ) -> impl ::core::future::Future<Output = Vec<Comment>> + ::core::marker::Send;
    fn one(
        &self,
        cx: &Context,
        id: u64,
    ) -> impl ::core::future::Future<Output = Answer<Comment>> + ::core::marker::Send;
}
