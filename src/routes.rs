//! The routes of a listener as a table: what is not in it is not served, and other methods are told which there are.

use actix_web::http::Method;
use actix_web::http::header::{ALLOW, HeaderValue};
use actix_web::{HttpResponse, Resource, Route, web};

/// A method and a path that are served.
pub(crate) struct Served {
    pub(crate) method: Method,
    pub(crate) path: &'static str,
    /// Makes the route anew for each worker.
    handler: fn() -> Route,
}

/// What is read, also with HEAD.
pub(crate) const fn get(path: &'static str, handler: fn() -> Route) -> Served {
    Served {
        method: Method::GET,
        path,
        handler,
    }
}

/// What does something.
pub(crate) const fn post(path: &'static str, handler: fn() -> Route) -> Served {
    Served {
        method: Method::POST,
        path,
        handler,
    }
}

/// The table's resources, one a path. `refusal` is the 405 of a method that is not served there.
pub(crate) fn resources(table: &[Served], refusal: fn() -> HttpResponse) -> Vec<Resource> {
    let mut paths: Vec<&str> = table.iter().map(|served| served.path).collect();
    paths.sort_unstable();
    paths.dedup();
    let of = |path: &&str| {
        let served = table.iter().filter(|served| served.path == *path);
        resource(path, served, refusal)
    };
    paths.iter().map(of).collect()
}

fn resource<'t>(
    path: &str,
    table: impl Iterator<Item = &'t Served>,
    refusal: fn() -> HttpResponse,
) -> Resource {
    let mut resource = web::resource(path);
    let mut allowed = Vec::new();
    for served in table {
        let mut methods = vec![served.method.clone()];
        if served.method == Method::GET {
            // The same handler: actix-http sends its status and length, and leaves the body out.
            methods.push(Method::HEAD);
        }
        for method in methods {
            allowed.push(method.to_string());
            resource = resource.route((served.handler)().method(method));
        }
    }
    let allowed = HeaderValue::from_str(&allowed.join(", ")).ok();
    resource.default_service(web::route().to(move || {
        let mut answer = refusal();
        if let Some(allowed) = &allowed {
            answer.headers_mut().insert(ALLOW, allowed.clone());
        }
        std::future::ready(answer)
    }))
}
