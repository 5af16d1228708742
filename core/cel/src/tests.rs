//! What expressions mean, how they fail, and that they end.

use super::*;

fn run(source: &str) -> std::result::Result<Value, EvalError> {
    let json = object::json!({
        "spec": {"replicas": 3, "name": "web", "items": ["a1", "a2"], "tags": {"x": "y"}, "my-key": 1, "float": 1.5},
        "empty": {}, "none": null,
    });
    let activation = Activation::new().with("self", Value::from_json(&json)).with("oldSelf", Value::Optional(None));
    let program = Program::compile(source, &["self", "oldSelf"]).unwrap_or_else(|e| panic!("{e}"));
    program.run(&activation, &mut 100_000)
}

/// Each expression is true.
#[test]
fn what_holds() {
    for source in [
        "self.spec.replicas == 3 && self.spec.name == 'web'",
        "1 + 2 * 3 == 7 && (1 + 2) * 3 == 9 && 7 / 2 == 3 && -7 % 3 == -1 && 2u + 3u == 5u && 1.5 + 1.5 == 3.0",
        "1 == 1.0 && 1u == 1 && 2 > 1.5 && 'a' < 'b' && [1, 2] == [1.0, 2.0] && {'a': 1} == {'a': 1}",
        "has(self.spec.name) && !has(self.spec.nope) && 'x' in self.spec.tags && 'a1' in self.spec.items",
        "self.spec.items.all(x, x.startsWith('a')) && self.spec.items.exists(x, x.endsWith('2'))",
        "self.spec.items.exists_one(x, x == 'a1') && self.spec.items.map(x, x.size()) == [2, 2]",
        "self.spec.items.map(x, x == 'a2', x + '!') == ['a2!'] && self.spec.items.filter(x, x > 'a1').size() == 1",
        "self.spec.items.all(i, x, i < 2 && x.size() == 2) && self.spec.tags.all(k, k == 'x')",
        "self.spec.replicas > 2 ? true : self.nope",
        "false || true || self.nope == 1",
        "self.nope == 1 || true",
        "!(self.nope == 1 && false)",
        "!oldSelf.hasValue() && oldSelf.orValue(5) == 5 && optional.of(1).value() == 1",
        "self.?spec.?name.orValue('x') == 'web' && self.?nope.?name.orValue('x') == 'x' && self[?'nope'].hasValue() == false",
        "optional.of(2).optMap(x, x * 2).value() == 4",
        "lists.range(3) == [0, 1, 2] && [[1, [2]], [3]].flatten(2) == [1, 2, 3] && [optional.of(1), optional.none()].unwrapOpt() == [1]",
        "ip('169.254.0.1').isLinkLocalUnicast() && ip('224.0.0.5').isLinkLocalMulticast() && ip('10.0.0.1').isGlobalUnicast() && !ip('::1').isGlobalUnicast() && ip('ff02::1').isLinkLocalMulticast()",
        "int(duration('1s')) == 1000000000 && 'a1b2c3'.findAll('[0-9]', 2) == ['1', '2'] && 'abab'.lastIndexOf('a', 1) == 0",
        "[3, 1, 2].sortBy(x, -x) == [3, 2, 1] && type(timestamp('2020-01-01T00:00:00Z')) == google.protobuf.Timestamp",
        "'Hello'.lowerAscii() == 'hello' && 'a,b'.split(',') == ['a', 'b'] && ['a', 'b'].join('-') == 'a-b'",
        "'abc'.substring(1) == 'bc' && 'abc'.charAt(1) == 'b' && 'abcb'.indexOf('b') == 1 && 'abcb'.lastIndexOf('b') == 3",
        "'a-b-c'.replace('-', '+') == 'a+b+c' && ' x '.trim() == 'x' && 'é'.size() == 1",
        "'web-1'.matches('^[a-z]+-[0-9]+$') && 'a1b22'.find('[0-9]+') == '1' && 'a1b22'.findAll('[0-9]+') == ['1', '22']",
        "'%s has %d'.format(['x', 3]) == 'x has 3' && '%.2f'.format([1.5]) == '1.50'",
        "int('5') == 5 && string(5) == '5' && double('1.5') == 1.5 && uint(5) == 5u && type(1) == int && type('') == string",
        "timestamp('2020-01-02T03:04:05Z').getFullYear() == 2020 && timestamp('2020-01-02T03:04:05Z').getDayOfWeek() == 4",
        "timestamp('2020-01-02T00:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('24h') && duration('90m').getHours() == 1",
        "quantity('1Gi').isGreaterThan(quantity('1000Mi')) && quantity('500m').add(quantity('500m')) == quantity('1') && isQuantity('1k')",
        "ip('10.0.0.1').family() == 4 && cidr('10.0.0.0/8').containsIP('10.1.2.3') && !isIP('x') && isCIDR('::/0')",
        "url('https://a.io:8080/p?q=1').getHost() == 'a.io:8080' && url('https://a.io:8080/p').getPort() == '8080' && !isURL('x y')",
        "[3, 1, 2].max() == 3 && [1, 2].sum() == 3 && [1, 2].isSorted() && [[1], [2]].flatten() == [1, 2]",
        "sets.contains([1, 2], [2]) && sets.equivalent([1, 2], [2, 1, 1]) && [1, 5, 3].max() == 5",
        "self.spec.my__dash__key == 1 && b'ab'.size() == 2 && r'\\d' == '\\\\d' && \"\"\"x\"\"\" == 'x'",
        "semver('1.2.3').isLessThan(semver('1.10.0')) && semver('1.0.0-rc.2').compareTo(semver('1.0.0')) == -1 && isSemver('1.0.0+a.1')",
        "semver('v01.2', true) == semver('1.2.0') && !isSemver('v1.2.0') && !isSemver('1.2') && semver('3.2.1').major() == 3 && semver('3.2.1').patch() == 1",
        "semver('1.0.0-alpha.9').isLessThan(semver('1.0.0-alpha.10')) && semver('1.0.0-1').isLessThan(semver('1.0.0-a'))",
        "!format.named('dns1123Label').value().validate('web').hasValue() && format.dns1123Label().validate('Web').value().size() == 1",
        "!format.named('nope').hasValue() && !format.dns1123LabelPrefix().validate('web-').hasValue() && format.uuid().validate('x').value() == ['does not match the UUID format']",
        "!format.uuid().validate('123e4567-e89b-12d3-A456-426614174000').hasValue() && format.date().validate('2021-02-30').hasValue() && !format.date().validate('2021-02-28').hasValue() && format.byte().validate('a=').value() == ['invalid base64']",
        "ip.isCanonical('::1') && !ip.isCanonical('::0001') && cidr('10.1.2.3/8').masked() == cidr('10.0.0.0/8') && [ip('::1')].all(ip, ip.family() == 6)",
        "[1, 2, 3].transformMap(i, v, v > 1, v * 2) == {1: 4, 2: 6} && {'a': 1}.transformMap(k, v, k + string(v)) == {'a': 'a1'}",
        "['a', 'b'].transformMapEntry(i, v, {v: i}) == {'a': 0, 'b': 1} && {'a': 1}.transformList(k, v, k) == ['a'] && [1, 2].existsOne(i, v, v == 2)",
        "self.none == null && self.spec.float == 1.5 && dyn([1, 'a'])[1] == 'a' && {'a': 1}.map(k, k) == ['a']",
    ] {
        match run(source) {
            Ok(Value::Bool(true)) => {}
            other => panic!("{source}: {other:?}"),
        }
    }
}

#[test]
fn what_fails_says_why() {
    for (source, why) in [
        ("self.nope", "no such key: nope"),
        ("self.spec.items[5]", "index out of bounds: 5"),
        ("1 / 0", "division by zero"),
        ("semver('1.2')", "No Major.Minor.Patch elements found"),
        ("semver('1.02.3')", "Minor number must not contain leading zeroes \"02\""),
        ("[1, 1].transformMapEntry(i, v, {v: i})", "insert failed: key 1 already exists"),
        ("9223372036854775807 + 1", "integer overflow"),
        ("'a' + 1", "no such overload"),
        ("oldSelf.value()", "optional.none() dereference"),
        ("self.spec.replicas.size()", "no such overload"),
        ("'x'.matches('(')", "error parsing regexp: `(`"),
        ("int('x')", "type conversion error from 'string' to 'int'"),
    ] {
        assert_eq!(run(source).unwrap_err().to_string(), why, "{source}");
    }
}

#[test]
fn what_cannot_be_read_says_where() {
    let refused = |source: &str| Program::compile(source, &["self"]).unwrap_err().to_string();
    assert_eq!(
        refused("self.a == nope"),
        "ERROR: <input>:1:11: undeclared reference to 'nope' (in container '')\n | self.a == nope\n | ..........^"
    );
    for source in ["1 +", "(", "self.", "'abc", "a b", "@", "has(self)", "[1", "{1:2", "self.all(x)", "x.all(1, 2)", "1 = 2"] {
        assert!(Program::compile(source, &["self"]).is_err(), "{source}");
    }
    let deep = format!("{}1{}", "(".repeat(500), ")".repeat(500));
    assert!(refused(&deep).contains("recursion limit"));
}

#[test]
fn every_expression_ends() {
    let source = "[1,2,3,4,5,6,7,8,9,10].all(a, [1,2,3,4,5,6,7,8,9,10].all(b, [1,2,3,4,5,6,7,8,9,10].all(c, a + b + c > 0)))";
    let program = Program::compile(source, &[]).unwrap();
    let mut budget = 1_000;
    let stopped = program.run(&Activation::new(), &mut budget).unwrap_err();
    assert_eq!((stopped.to_string().as_str(), budget), ("operation cancelled: actual cost limit exceeded", 0));
    assert!(matches!(program.run(&Activation::new(), &mut 100_000), Ok(Value::Bool(true))));
}

#[test]
fn names_that_are_used() {
    let program = Program::compile("self.all(oldSelf, oldSelf > 1)", &["self", "oldSelf"]).unwrap();
    assert!(program.uses("self") && !program.uses("oldSelf"), "a loop's own variable hides the other");
}

/// Damaged expressions are refused or checked and computed, but never panic and never run away.
#[test]
fn nothing_panics() {
    let sources = [
        "self.spec.items.all(x, x.startsWith('a')) && self.spec.replicas > 2 ? [1, 2u, -3.5e2][0] : {'a': b'\\x41'}",
        "self.?spec[?'name'].optMap(n, '%s %.2f'.format([n, 1.5])).orValue(\"x\").matches('^[a-z]+$')",
        "timestamp('2020-01-02T03:04:05Z') - duration('1h30m') > quantity('1Gi').add(1) || cidr('10.0.0.0/8').containsIP('::1')",
        "self.spec.items.map(i, x, i > 0, x.substring(1, 2).replace('a', 'b').split(',').join('-')).exists_one(y, y in [''])",
    ];
    let pieces = [
        "(",
        ")",
        "[",
        "]",
        "'",
        "\"",
        ".",
        "?",
        "-",
        "!",
        "&&",
        "99999999999999999999",
        "\\u{1F600}",
        "é",
        "\0",
        "self",
        "1e999",
    ];
    let mut rng = object::Rng::new(7);
    let json = object::json!({"spec": {"replicas": 3, "name": "web", "items": ["a1", "é"]}});
    let activation = Activation::new().with("self", Value::from_json(&json));
    let text = |most| Decl::scalar(Type::Text, most, 2);
    let spec = [
        ("replicas".to_owned(), Decl::scalar(Type::Int, 0, 1)),
        ("name".to_owned(), text(10)),
        ("items".to_owned(), Decl::list(text(1 << 20), 1 << 20)),
    ];
    let declared = Decl::object("self", [("spec".to_owned(), Decl::object("self.spec", spec.into(), 2))].into(), 2);
    let env = Env::new().with("self", declared.of.clone());
    for round in 0..20_000_u64 {
        let mut chars: Vec<char> = sources[(round % 4) as usize].chars().collect();
        for _ in 0..=rng.below(3) {
            let at = rng.below(chars.len() as u64 + 1) as usize;
            let end = (at + rng.below(4) as usize).min(chars.len());
            let piece: Vec<char> = pieces[rng.below(pieces.len() as u64) as usize].chars().collect();
            chars.splice(at..end, piece);
        }
        let source: String = chars.into_iter().collect();
        match check(&source, &env) {
            Ok(checked) => drop((checked.result().to_string(), checked.cost(&declared))),
            Err(why) => assert!(why.to_string().starts_with("ERROR: <input>:"), "{source}"),
        }
        if let Ok(program) = Program::compile(&source, &["self"]) {
            let mut budget = 10_000;
            drop(program.run(&activation, &mut budget));
        }
    }
}

/// Long chains are as deep as nested ones when they are walked; those of `&&` and `||` are made flat.
#[test]
fn long_chains_are_bounded() {
    let chain = |link: &str, times: usize| format!("1{}", link.repeat(times));
    for link in ["+1", ".a", "[0]", "== 1", ".size()"] {
        let refused = Program::compile(&chain(link, 1500), &[]).unwrap_err();
        assert!(refused.to_string().contains("recursion limit"), "{link}");
        if let Ok(program) = Program::compile(&chain(link, 199), &[]) {
            drop(program.run(&Activation::new(), &mut 1_000_000));
        }
    }
    let sum = Program::compile(&chain("+1", 199), &[]).unwrap();
    assert!(matches!(sum.run(&Activation::new(), &mut 1_000_000), Ok(Value::Int(200))));
    for (link, value) in [("&& true", true), ("|| false", false)] {
        let program = Program::compile(&format!("{value}{}", link.repeat(1500)), &[]).unwrap();
        assert!(matches!(program.run(&Activation::new(), &mut 1_000_000), Ok(Value::Bool(held)) if held == value), "{link}");
    }
}

/// What expressions of policies make, and whom they ask.
#[derive(Debug)]
struct OnlyPods;

impl Authorizer for OnlyPods {
    fn decide(&self, check: &Check, verb: &str) -> Decision {
        let allowed = check.resource == "pods" && verb == "get" && check.account.is_none();
        Decision { allowed, reason: format!("{}{}", check.namespace, check.path), error: String::new() }
    }
}

#[test]
fn objects_and_authorizers() {
    let request = Check { stage: Stage::Resource, resource: "pods".to_owned(), ..Check::default() };
    let root = Check { request: Some(std::sync::Arc::new(request)), ..Check::default() };
    let activation = Activation::new()
        .with_authorizer(&OnlyPods)
        .with("authorizer", Value::Check(std::sync::Arc::new(root)))
        .with("self", Value::Int(1));
    for (source, expect) in [
        ("Object{a: self, ?b: optional.none(), c: Object.c{d: ['x']}}", Ok(r#"{"a":1,"c":{"d":["x"]}}"#)),
        (
            "[JSONPatch{op: 'add', path: '/a/' + jsonpatch.escapeKey('b/~c'), value: {'x': null}}]",
            Ok(r#"[{"op":"add","path":"/a/b~1~0c","value":{"x":null}}]"#),
        ),
        ("Object{a: 1} == Object{a: 1} && Object{a: 1} != Object.b{a: 1}", Ok("true")),
        ("authorizer.group('').resource('pods').check('get').allowed()", Ok("true")),
        ("authorizer.group('').resource('pods').namespace('n').check('list').reason()", Ok("\"n\"")),
        ("authorizer.path('/healthz').check('get').reason()", Ok("\"/healthz\"")),
        ("authorizer.requestResource.check('get').allowed()", Ok("true")),
        ("authorizer.serviceAccount('a', 'b').group('').resource('pods').check('get').errored()", Ok("false")),
        ("authorizer.serviceAccount('a', 'B').path('/')", Err("Invalid service account name")),
        ("authorizer.group('').check('get')", Err("no such overload")),
        ("authorizer.path('').check('get').allowed()", Err("path must not be empty")),
    ] {
        let program = Program::compile(source, &["self", "authorizer", "Object", "JSONPatch"]).unwrap();
        let result = program.run(&activation, &mut 1_000_000).map(|value| value.to_json().unwrap().to_string());
        assert_eq!(result.as_deref().map_err(|why| why.0.as_str()), expect, "{source}");
    }
    let unknown = Program::compile("Pod{a: 1}", &["Object"]).unwrap_err();
    assert_eq!(unknown.failures[0].1, "undeclared reference to 'Pod' (in container '')");
    let misnamed = Program::compile("Object{spec: [Object.status{}]}", &["Object"]).unwrap();
    let mut found = Vec::new();
    misnamed.run(&activation, &mut 100).unwrap().misnamed("Object", &mut found);
    assert_eq!(
        found,
        ["unexpected type name \"Object.status\", expected \"Object.spec\", which matches field name path from root Object type"]
    );
}

#[test]
fn variables_are_computed_when_asked_for() {
    let known = |source: &str| Program::compile(source, &["variables", "self"]).map_err(|why| why.to_string());
    let programs: Vec<(String, Compiled)> =
        [("bad", "self.nothing"), ("one", "self.n"), ("two", "variables.one + 1"), ("round", "variables.round")]
            .map(|(name, source)| (name.to_owned(), known(source)))
            .into();
    let mut activation = Activation::new().with("self", Value::from_json(&object::json!({"n": 1})));
    for (source, expect) in [
        ("variables.two == 2", Ok("true")),
        ("has(variables.one) && variables.one == 1 || variables.bad", Ok("true")),
        ("variables.bad", Err("composited variable \"bad\" fails to evaluate: no such key: nothing")),
        ("variables.round", Err("composited variable \"round\" fails to evaluate: no such key: round")),
        ("variables.other", Err("no such key: other")),
    ] {
        let result = Variables::new(&programs).run(&known(source).unwrap(), &mut activation, &mut 10_000);
        let result = result.map(|value| value.to_json().unwrap().to_string());
        assert_eq!(result.as_deref().map_err(|why| why.0.as_str()), expect, "{source}");
    }
}
