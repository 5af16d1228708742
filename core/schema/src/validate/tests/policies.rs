//! Webhooks and policies of admission.

use object::{Value, json};

use super::errors;

fn object(kind: &str, part: &str, value: Value) -> Value {
    let mut object = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": {"name": "x"}});
    object[part] = value;
    object
}

fn merged(mut base: Value, extra: Value) -> Value {
    base.as_object_mut().unwrap().append(&mut extra.as_object().unwrap().clone());
    base
}

#[test]
fn webhooks() {
    let rule = |extra: Value| {
        let base = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        json!({"rules": [merged(base, extra)]})
    };
    let url = |url: &str| json!({"clientConfig": {"url": url}});
    let service = |extra: Value| json!({"clientConfig": {"service": merged(json!({"name": "s", "namespace": "n"}), extra)}});
    let condition = |name: &str, expression: &str| json!({"matchConditions": [{"name": name, "expression": expression}]});
    let cases: [(&str, Value, &[&str]); 21] = [
        ("valid", json!({}), &[]),
        (
            "name",
            json!({"name": "a.b"}),
            &["name: Invalid value: \"a.b\": should be a domain with at least three segments separated by dots"],
        ),
        ("no name", json!({"name": ""}), &["name: Required value"]),
        (
            "effects",
            json!({"sideEffects": "Some"}),
            &["sideEffects: Unsupported value: \"Some\": supported values: \"None\", \"NoneOnDryRun\""],
        ),
        (
            "again",
            json!({"reinvocationPolicy": "X"}),
            &["reinvocationPolicy: Unsupported value: \"X\": supported values: \"IfNeeded\", \"Never\""],
        ),
        (
            "time",
            json!({"timeoutSeconds": 31}),
            &["timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds"],
        ),
        (
            "plain",
            url("http://a"),
            &[
                "clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme; desired format: https://host[/path]",
            ],
        ),
        (
            "query",
            url("https://a/b?c"),
            &["clientConfig.url: Invalid value: \"c\": query parameters are not permitted in the URL"],
        ),
        ("neither", json!({"clientConfig": {}}), &["clientConfig: Required value: exactly one of url or service is required"]),
        (
            "port",
            service(json!({"port": 0})),
            &["clientConfig.service.port: Invalid value: 0: port is not valid: must be between 1 and 65535, inclusive"],
        ),
        (
            "path",
            service(json!({"path": "/a//b"})),
            &["clientConfig.service.path: Invalid value: \"/a//b\": segment[1] may not be empty"],
        ),
        (
            "no versions",
            json!({"admissionReviewVersions": []}),
            &["admissionReviewVersions: Required value: must specify one of v1, v1beta1"],
        ),
        (
            "versions",
            json!({"admissionReviewVersions": ["v2", "v2"]}),
            &[
                "admissionReviewVersions[1]: Invalid value: \"v2\": duplicate version",
                "admissionReviewVersions: Invalid value: [\"v2\",\"v2\"]: must include at least one of v1, v1beta1",
            ],
        ),
        (
            "operation",
            rule(json!({"operations": ["GET"]})),
            &[
                "rules[0].operations[0]: Unsupported value: \"GET\": supported values: \"*\", \"CONNECT\", \"CREATE\", \"DELETE\", \"UPDATE\"",
            ],
        ),
        (
            "all operations",
            rule(json!({"operations": ["*", "CREATE"]})),
            &["rules[0].operations: Invalid value: [\"*\",\"CREATE\"]: if '*' is present, must not specify other operations"],
        ),
        (
            "all resources",
            rule(json!({"resources": ["*", "pods"]})),
            &[
                "rules[0].resources: Invalid value: [\"*\",\"pods\"]: if '*' is present, must not specify other resources without subresources",
            ],
        ),
        (
            "subresources",
            rule(json!({"resources": ["pods/*", "pods/status"]})),
            &["rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify pods/status"],
        ),
        ("no resources", rule(json!({"resources": []})), &["rules[0].resources: Required value"]),
        (
            "scope",
            rule(json!({"scope": "X"})),
            &["rules[0].scope: Unsupported value: \"X\": supported values: \"*\", \"Cluster\", \"Namespaced\""],
        ),
        ("no condition", condition("c", " "), &["matchConditions[0].expression: Required value"]),
        (
            "params",
            condition("c", "params.a == 1"),
            &[
                "matchConditions[0].expression: Invalid value: \"params.a == 1\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a == 1\n | ^",
            ],
        ),
    ];
    for (name, extra, expect) in cases {
        let base = json!({"name": "a.b.c", "sideEffects": "None", "admissionReviewVersions": ["v1"], "clientConfig": {"url": "https://h"}});
        let found = errors(object("MutatingWebhookConfiguration", "webhooks", json!([merged(base, extra)])));
        let expect: Vec<String> = expect.iter().map(|e| format!("webhooks[0].{e}")).collect();
        assert_eq!(found, expect, "{name}");
    }
}

#[test]
fn validating_policies() {
    let validation = |extra: Value| json!({"validations": [merged(json!({"expression": "true"}), extra)]});
    let variable = |name: &str| json!({"variables": [{"name": name, "expression": "1"}]});
    let annotation = |key: &str, value: &str| json!({"auditAnnotations": [{"key": key, "valueExpression": value}]});
    let cases: [(&str, Value, &[&str]); 23] = [
        ("valid", json!({}), &[]),
        (
            "of any type",
            validation(json!({"expression": "object.spec.on"})),
            &["validations[0].expression: Invalid value: \"object.spec.on\": must evaluate to bool but got dyn"],
        ),
        (
            "no such field of the request",
            validation(json!({"expression": "request.nothing == 1"})),
            &[
                "validations[0].expression: Invalid value: \"request.nothing == 1\": compilation failed: ERROR: <input>:1:8: undefined field 'nothing'\n | request.nothing == 1\n | .......^",
            ],
        ),
        (
            "message of another type",
            validation(json!({"messageExpression": "[duration('1s')]"})),
            &[
                "validations[0].messageExpression: Invalid value: \"[duration('1s')]\": must evaluate to string but got list(google.protobuf.Duration)",
            ],
        ),
        (
            "value of another type",
            annotation("k", "1"),
            &[
                "auditAnnotations[0].valueExpression: Invalid value: \"1\": must evaluate to one of [string null_type] but got int",
            ],
        ),
        (
            "variables have types",
            json!({
                "variables": [{"name": "a", "expression": "object.x.size() < 2"}, {"name": "b", "expression": "variables.a && authorizer.requestResource.check('get').allowed()"}],
                "validations": [{"expression": "variables.a && variables.b"}],
            }),
            &[],
        ),
        (
            "variables are known after they are stated",
            json!({"variables": [{"name": "a", "expression": "variables.b"}, {"name": "b", "expression": "1"}]}),
            &[
                "variables[0].expression: Invalid value: \"variables.b\": compilation failed: ERROR: <input>:1:10: undefined field 'b'\n | variables.b\n | .........^",
            ],
        ),
        (
            "nothing",
            json!({"validations": []}),
            &[
                "validations: Required value: validations or auditAnnotations must contain at least one item",
                "auditAnnotations: Required value: validations or auditAnnotations must contain at least one item",
            ],
        ),
        (
            "policy",
            json!({"failurePolicy": "X"}),
            &["failurePolicy: Unsupported value: \"X\": supported values: \"Fail\", \"Ignore\""],
        ),
        ("no rules", json!({"matchConstraints": {}}), &["matchConstraints.resourceRules: Required value"]),
        ("no constraints", json!({"matchConstraints": null}), &["matchConstraints: Required value"]),
        (
            "kind",
            json!({"paramKind": {"kind": "", "apiVersion": "a/b/c"}}),
            &[
                "paramKind.apiVersion: Invalid value: \"a/b/c\": unexpected GroupVersion string: a/b/c",
                "paramKind.kind: Required value",
            ],
        ),
        (
            "empty expression",
            validation(json!({"expression": " "})),
            &["validations[0].expression: Required value: expression is not specified"],
        ),
        (
            "params without a kind",
            validation(json!({"expression": "params.a"})),
            &[
                "validations[0].expression: Invalid value: \"params.a\": compilation failed: ERROR: <input>:1:1: undeclared reference to 'params' (in container '')\n | params.a\n | ^",
            ],
        ),
        (
            "reason",
            validation(json!({"reason": "NotFound"})),
            &[
                "validations[0].reason: Unsupported value: \"NotFound\": supported values: \"Forbidden\", \"Invalid\", \"RequestEntityTooLarge\"",
            ],
        ),
        (
            "message",
            validation(json!({"message": "a\nb"})),
            &["validations[0].message: Invalid value: \"a\\nb\": message must not contain line breaks"],
        ),
        (
            "blank message",
            validation(json!({"message": " "})),
            &["validations[0].message: Invalid value: \" \": message must be non-empty if specified"],
        ),
        (
            "blank expression of a message",
            validation(json!({"messageExpression": " "})),
            &["validations[0].messageExpression: Invalid value: \" \": must be non-empty if specified"],
        ),
        (
            "messages ask no authorizer",
            validation(json!({"messageExpression": "string(authorizer)"})),
            &[
                "validations[0].messageExpression: Invalid value: \"string(authorizer)\": compilation failed: ERROR: <input>:1:8: undeclared reference to 'authorizer' (in container '')\n | string(authorizer)\n | .......^",
            ],
        ),
        ("variable", variable("a-b"), &["variables[0].name: Invalid value: \"a-b\": name is not a valid CEL identifier"]),
        (
            "reserved variable",
            variable("namespace"),
            &["variables[0].name: Invalid value: \"namespace\": name is not a valid CEL identifier"],
        ),
        (
            "no value",
            annotation("k", ""),
            &["auditAnnotations[0].valueExpression: Required value: valueExpression is not specified"],
        ),
        (
            "conditions twice",
            json!({"matchConditions": [{"name": "", "expression": "true"}]}),
            &["matchConditions[0].name: Required value"],
        ),
    ];
    for (name, extra, expect) in cases {
        let rule = json!({"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]});
        let base = json!({"matchConstraints": {"resourceRules": [rule]}, "validations": [{"expression": "true"}]});
        let found = errors(object("ValidatingAdmissionPolicy", "spec", merged(base, extra)));
        let expect: Vec<String> = expect.iter().map(|e| format!("spec.{e}")).collect();
        assert_eq!(found, expect, "{name}");
    }
}

#[test]
fn bindings_of_validating_policies() {
    let reference = |extra: Value| json!({"paramRef": merged(json!({"parameterNotFoundAction": "Deny"}), extra)});
    let exclusive = "Forbidden: name and selector are mutually exclusive";
    let cases: [(&str, Value, &[&str]); 9] = [
        ("valid", reference(json!({"name": "a"})), &[]),
        ("no policy", json!({"policyName": ""}), &["policyName: Required value"]),
        (
            "no action",
            json!({"validationActions": []}),
            &["validationActions: Required value: at least one validation action is required"],
        ),
        (
            "action",
            json!({"validationActions": ["X"]}),
            &["validationActions[0]: Unsupported value: \"X\": supported values: \"Audit\", \"Deny\", \"Warn\""],
        ),
        (
            "deny and warn",
            json!({"validationActions": ["Deny", "Warn"]}),
            &[
                "validationActions: Invalid value: [\"Deny\",\"Warn\"]: must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)",
            ],
        ),
        (
            "both",
            reference(json!({"name": "a", "selector": {}})),
            &[&format!("paramRef.name: {exclusive}"), &format!("paramRef.selector: {exclusive}")],
        ),
        ("neither", reference(json!({})), &["paramRef: Required value: one of name or selector must be specified"]),
        (
            "not found",
            reference(json!({"name": "a", "parameterNotFoundAction": "X"})),
            &["paramRef.parameterNotFoundAction: Unsupported value: \"X\": supported values: \"Deny\", \"Allow\""],
        ),
        (
            "resources",
            json!({"matchResources": {"matchPolicy": "X"}}),
            &["matchResouces.matchPolicy: Unsupported value: \"X\": supported values: \"Equivalent\", \"Exact\""],
        ),
    ];
    for (name, extra, expect) in cases {
        let base = json!({"policyName": "p", "validationActions": ["Deny"]});
        let found = errors(object("ValidatingAdmissionPolicyBinding", "spec", merged(base, extra)));
        let expect: Vec<String> = expect.iter().map(|e| format!("spec.{e}")).collect();
        assert_eq!(found, expect, "{name}");
    }
}
