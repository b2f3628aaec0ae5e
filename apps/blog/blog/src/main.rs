//! The blog: which services there are. Where they run is said on the command line.

use divisi::{Exit, WithGateway};

fn main() -> Exit {
    divisi::app("blog")
        .service(blog_posts::service())
        .service(blog_comments::service())
        .service(blog_moderation::service())
        .service(blog_query::service())
        .gateway()
        .main()
}
