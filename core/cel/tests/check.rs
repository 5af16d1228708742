//! What the checker accepts, with which type, and what it says of the rest: cel-go's words at cel-go's places.

use wasmkube_cel::{Env, Type, check};

fn env() -> Env {
    let text = |name: &str, of: Type| (name.to_owned(), of);
    let port = Type::object("selfType.ports.@idx", [text("name", Type::Text), text("number", Type::Int)]);
    let own = Type::object(
        "selfType",
        [
            text("x", Type::Int),
            text("name", Type::Text),
            text("share", Type::Double),
            text("on", Type::Bool),
            text("since", Type::Timestamp),
            text("span", Type::Duration),
            text("raw", Type::Bytes),
            text("any", Type::Dyn),
            text("names", Type::list(Type::Text)),
            text("numbers", Type::list(Type::Int)),
            text("labels", Type::map(Type::Text, Type::Text)),
            text("ports", Type::list(port)),
            text("__namespace__", Type::Text),
            text("my__dash__key", Type::Int),
        ],
    );
    let patch = Type::object("JSONPatch", [text("op", Type::Text), text("value", Type::Dyn)]);
    let env = Env::new().with("self", own.clone()).with("oldSelf", Type::optional(own));
    let authorization = |name: &str| Type::named(&format!("kubernetes.authorization.{name}"));
    let env = env.with("authorizer", authorization("Authorizer"));
    let env = env.with("authorizer.requestResource", authorization("ResourceCheck"));
    env.with_made(Type::open_object("Object")).with_made(patch)
}

#[test]
fn accepted_with_their_types() {
    let cases = [
        ("numbers of all types compare", "self.x < 1.5 && 2u >= 1", "bool"),
        ("arithmetic", "self.x + 1", "int"),
        ("a negative number", "-1.5", "double"),
        ("a field that has to be escaped", "self.__namespace__ + string(self.my__dash__key)", "string"),
        ("presence", "has(self.name) && !has(self.labels.a)", "bool"),
        ("a list's element", "self.ports[0].number", "int"),
        ("a map's value", "self.labels['a']", "string"),
        ("a map's value as a field", "self.labels.a", "string"),
        ("an optional field", "self.?name", "optional_type(string)"),
        ("an optional element", "self.ports[?0].number", "optional_type(int)"),
        ("a field of what is optional", "oldSelf.x.orValue(0) + self.x", "int"),
        ("a value that may be missing", "oldSelf.hasValue() ? oldSelf.value().x : 0", "int"),
        ("what a loop gathers", "self.ports.map(p, p.name)", "list(string)"),
        ("a filter", "self.numbers.filter(n, n > 1)", "list(int)"),
        ("a filter and a change", "self.ports.map(p, p.number > 1, [p.number])", "list(list(int))"),
        ("loops of two variables", "self.numbers.all(i, n, i < n) && self.labels.exists(k, v, k == v)", "bool"),
        ("a map from a list", "self.names.transformMap(i, n, n + string(i))", "map(int, string)"),
        ("a map from a map", "self.labels.transformMapEntry(k, v, {v: k})", "map(string, string)"),
        ("what is there or not", "self.?name.optMap(n, n.size())", "optional_type(int)"),
        ("time", "self.since - timestamp('2020-01-01T00:00:00Z') > duration('1h')", "bool"),
        ("a type", "type(self.x) == int && type(self.any) == string", "bool"),
        ("an empty list fits any", "self.names == [] && self.labels == {}", "bool"),
        ("an unknown value is anything", "self.any + 1 > 2 && self.any.startsWith('a')", "bool"),
        ("an object may be null", "self.ports[0] != null", "bool"),
        ("a list in a list", "sets.contains(self.names, ['a'])", "bool"),
        ("sorted by a key", "self.ports.sortBy(p, p.name)[0].number", "int"),
        ("a library's type", "quantity('1Gi').add(1)", "kubernetes.Quantity"),
        ("an address", "ip('::1')", "net.IP"),
        ("an address in a network", "cidr('10.0.0.0/8').containsIP('10.0.0.1') && cidr('::/0').ip().family() == 6", "bool"),
        ("a web address", "url('https://a').getQuery()", "map(string, list(string))"),
        ("a named format", "format.dns1123Label().validate(self.name).hasValue()", "bool"),
        ("a version", "semver('v1.0.0', true).isLessThan(semver('2.0.0'))", "bool"),
        ("text with values", "'%s is %s'.format([self.name, string(self.x)])", "string"),
        ("an unknown list's least", "self.numbers.min()", "int"),
        ("an object that is made", "Object{spec: Object.spec{replicas: self.x, ?name: self.?name}}", "Object"),
        ("a field of a made object", "JSONPatch{op: 'add', value: 1}.op", "string"),
        ("a question", "authorizer.group('').resource('pods').check('get').allowed()", "bool"),
        ("a variable with a dot", "authorizer.requestResource.check('get').reason()", "string"),
        ("several overloads at once", "self.any.getHours()", "int"),
    ];
    for (name, source, wanted) in cases {
        match check(source, &env()) {
            Ok(checked) => assert_eq!(checked.result().to_string(), wanted, "{name}: {source}"),
            Err(why) => panic!("{name}: {why}"),
        }
    }
}

#[test]
fn refused_in_words_and_place() {
    let cases = [
        ("a field that is not declared", "self.nope > 0", "1:5: undefined field 'nope'"),
        ("presence of a field that is not declared", "has(self.nope)", "1:4: undefined field 'nope'"),
        ("types that do not compare", "self.x == true", "1:8: found no matching overload for '_==_' applied to '(int, bool)'"),
        ("a number without a size", "size(self.x) == 10", "1:5: found no matching overload for 'size' applied to '(int)'"),
        (
            "a method of another type",
            "self.x.startsWith('a')",
            "1:18: found no matching overload for 'startsWith' applied to 'int.(string)'",
        ),
        ("a name that nothing has", "self.x == nope", "1:11: undeclared reference to 'nope' (in container '')"),
        ("a function that nothing is", "nope(1)", "1:5: undeclared reference to 'nope' (in container '')"),
        (
            "a library that Kubernetes does not have",
            "math.greatest(1, 2) == 2",
            "1:1: undeclared reference to 'math' (in container '')",
        ),
        ("a logical operand", "self.on && self.x", "1:16: expected type 'bool' but found 'int'"),
        ("a loop's condition", "self.numbers.all(n, n)", "1:21: expected type 'bool' but found 'int'"),
        (
            "a filter's condition",
            "self.numbers.filter(n, n) == []",
            "1:20: found no matching overload for '_?_:_' applied to '(int, list(int), list(int))'",
        ),
        (
            "a loop over a number",
            "self.x.all(n, n > 0)",
            "1:5: expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("elements of two types", "[1, 'a'] == []", "1:5: expected type 'int' but found 'string'"),
        ("values of two types", "{'a': 1, 'b': 'c'}.size() == 2", "1:15: expected type 'int' but found 'string'"),
        (
            "sides of two types",
            "self.on ? 1 : 'a'",
            "1:9: found no matching overload for '_?_:_' applied to '(bool, int, string)'",
        ),
        ("a field of a number", "self.x.y == 1", "1:7: type 'int' does not support field selection"),
        (
            "a number where a text is looked for",
            "1 in self.names",
            "1:3: found no matching overload for '@in' applied to '(int, list(string))'",
        ),
        (
            "an optional is no number",
            "self.x >= oldSelf.x",
            "1:8: found no matching overload for '_>=_' applied to '(int, optional_type(int))'",
        ),
        ("a number is never null", "self.x == null", "1:8: found no matching overload for '_==_' applied to '(int, null)'"),
        ("a type that nothing is", "Pod{x: 1} == 1", "1:4: undeclared reference to 'Pod' (in container '')"),
        (
            "a made object's field",
            "JSONPatch{op: 1}.op == ''",
            "1:15: expected type of field 'op' is 'string' but provided type is 'int'",
        ),
        ("a duration that is none", "self.span > duration('1x')", "1:22: invalid duration argument"),
        ("a time that is none", "self.since > timestamp('now')", "1:24: invalid timestamp argument"),
        ("an expression that is none", "self.name.matches('(')", "1:19: invalid matches argument"),
        ("presence of no field", "has(self)", "1:5: invalid argument to has() macro"),
        ("a loop's variable that is no name", "self.names.all(1, true)", "1:16: argument must be a simple name"),
        ("a map's variable that is no name", "self.names.map(1, true)", "1:16: argument is not an identifier"),
        ("a word that is kept back", "self.x == var", "1:11: reserved identifier: var"),
        (
            "a loop's variable after the loop",
            "self.names.all(n, n == '') && n == ''",
            "1:31: undeclared reference to 'n' (in container '')",
        ),
        (
            "an end too early",
            "1 +",
            "1:4: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}",
        ),
        ("a missing parenthesis", "(1", "1:3: Syntax error: missing ')' at '<EOF>'"),
        ("one word too many", "self.on self", "1:9: Syntax error: extraneous input 'self' expecting <EOF>"),
        ("more words too many", "self.on 1 + 2", "1:9: Syntax error: mismatched input '1' expecting <EOF>"),
        ("a field without a name", "self.", "1:6: Syntax error: no viable alternative at input '.'"),
    ];
    for (name, source, wanted) in cases {
        let why = check(source, &env()).err().unwrap_or_else(|| panic!("{name}: accepted")).to_string();
        let first = why.lines().next().unwrap_or_default();
        assert_eq!(first, format!("ERROR: <input>:{wanted}"), "{name}: {source}");
    }
}

#[test]
fn all_that_is_wrong_is_told_in_order() {
    let told = |source: &str| check(source, &env()).err().map(|why| why.to_string()).unwrap_or_default();
    assert_eq!(
        told("self.b ||\n\tself.a == 'é' + 1"),
        "ERROR: <input>:1:5: undefined field 'b'\n | self.b ||\n | ....^\n\
         ERROR: <input>:2:6: undefined field 'a'\n |  self.a == 'é' + 1\n | .....^\n\
         ERROR: <input>:2:16: found no matching overload for '_+_' applied to '(string, int)'\n |  self.a == 'é' + 1\n | ............．..^"
    );
    assert_eq!(
        told("1 + $"),
        "ERROR: <input>:1:5: Syntax error: token recognition error at: '$'\n | 1 + $\n | ....^\n\
         ERROR: <input>:1:6: Syntax error: mismatched input '<EOF>' expecting {'[', '{', '(', '.', '-', '!', 'true', 'false', 'null', NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}\n | 1 + $\n | .....^"
    );
}

/// Types that would grow without end are given up, and so is the work on them.
#[test]
fn work_on_types_is_bounded() {
    let mut doubled = "[1]".to_owned();
    for _ in 0..60 {
        doubled += ".map(a, {a: a})";
    }
    let nested = format!("{}self{}", "[".repeat(60), "]".repeat(60));
    let copied = (0..40).fold("self.any".to_owned(), |inner, i| format!("{inner}.optMap(v{i}, v{i})"));
    for source in [doubled, nested, copied, "[]+".repeat(200) + "[]"] {
        drop(check(&source, &env()));
    }
}

/// Rules as definitions in the wild have them.
#[test]
fn rules_in_the_wild() {
    let field = |name: &str, of: Type| (name.to_owned(), of);
    let term = Type::object(
        "selfType.terms.@idx",
        [field("key", Type::Text), field("operator", Type::Text), field("values", Type::list(Type::Text))],
    );
    let path = Type::object("selfType.matches.@idx", [field("path", Type::Text), field("type", Type::Text)]);
    let inner = Type::object("selfType.a", [field("b", Type::map(Type::Text, Type::Text)), field("c", Type::Text)]);
    let metadata = Type::object("selfType.metadata", [field("name", Type::Text)]);
    let own = Type::object(
        "selfType",
        [
            field("terms", Type::list(term)),
            field("matches", Type::list(path)),
            field("metadata", metadata),
            field("a", inner),
            field("text", Type::Text),
            field("size", Type::Dyn),
            field("sizes", Type::map(Type::Text, Type::Int)),
            field("x", Type::Int),
            field("d", Type::Double),
            field("names", Type::list(Type::Text)),
            field("__namespace__", Type::Text),
        ],
    );
    let env = Env::new().with("self", own.clone()).with("oldSelf", own);
    for source in [
        "self.terms.all(x, x.operator == 'In' ? x.values.size() != 0 : true)",
        "self.terms.all(x, (x.operator == 'Gt' || x.operator == 'Lt') ? (x.values.size() == 1 && int(x.values[0]) >= 0) : true)",
        "self.text in [\"a\", \"b\"] || self.text.find(\"^([^/]+)\").endsWith(\"node.kubernetes.io\")",
        "self.terms.all(p, self.terms.exists_one(q, p.key == q.key && ((!has(p.values) && !has(q.values)) || p.values == q.values)))",
        "[has(self.a), has(self.x), has(self.text)].filter(set, set == true).size() <= 1",
        "(has(self.a) ? 1 : 0) + (has(self.x) ? 1 : 0) == 1",
        "self.matches.all(m, has(m.path) && m.path.matches(r'^/(?:[-A-Za-z0-9._~]|[%][0-9a-fA-F]{2})*$')) // as in URLs",
        "type(self.size) == int ? self.size > 0 : isQuantity(self.size) && quantity(self.size).isGreaterThan(quantity('0'))",
        "string(self.size).matches('''^[0-9]+%?$''') || quantity(string(self.size)).compareTo(quantity('1Gi')) <= 0",
        "!has(self.a.b) || self.a.b.all(k, self.a.b[k] != '' && k.size() <= 63 && !k.contains('/'))",
        "self.a.?b['k'].orValue('') != '' || self.?a.?c.hasValue()",
        "has(oldSelf.text) == has(self.text) && (!has(self.text) || self.text == oldSelf.text)",
        "oldSelf.names.all(n, n in self.names) && self.names.map(n, n.lowerAscii()).isSorted()",
        "self.text == '' ? true : self.x > 1 ? self.d < 1.5 * self.d : -self.x < 0 || !(self.x >= 1)",
        "duration(self.text) >= duration('1m') && timestamp(self.text).getFullYear() > 2000 && self.text.split('.').size() == 2",
        "self.sizes.all(k, self.sizes[k] > 0) && self.sizes.exists(k, v, v > 3) && size(self.names.filter(n, n != '')) <= 8",
        "isURL(self.text) && url(self.text).getScheme() in ['http', 'https'] && ip(self.text).family() == 4 && isCIDR(self.text)",
        "self.metadata.name.size() <= 63 && self.__namespace__ != 'kube-system' && self.text.matches('^\\\\p{L}+$')",
        "self.names.all(format, format == '') && self.names.all(ip, ip.size() > 0) && self.terms.all(t, t.values.join(',') != '')",
    ] {
        if let Err(why) = check(source, &env) {
            panic!("{why}");
        }
    }
}
