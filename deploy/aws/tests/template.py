"""The template as CloudFormation sees it for one choice of parameters."""

import itertools
import json
from pathlib import Path

import cfnlint.decode

PATH = Path(__file__).parent.parent / 'template.yaml'
REMOVED = object()

# What every choice has in common: values of the shape that AWS gives.
GIVEN = {
    'CodeBucket': 'code-of-exam-stream',
    'FunctionKey': 'fold-0123.zip',
    'AnalysisKey': 'analysis-0123.jar',
    'VpcId': 'vpc-0a1b2c3d4e5f60718',
    'SubnetIds': 'subnet-0a1b2c3d4e5f60718,subnet-0a1b2c3d4e5f60719',
    'MoodleSecurityGroupId': 'sg-0a1b2c3d4e5f60718',
}


def load():
    template, problems = cfnlint.decode.decode(str(PATH))
    assert not problems, problems
    return json.loads(json.dumps(template))


def choices():
    """Every combination of what the conditions ask."""
    for store, analysis in itertools.product(('dynamodb', 'valkey'), ('no', 'yes')):
        for rest in ({}, {'VpcEndpoints': 'exist', 'FunctionConcurrency': 50, 'MoodleRoleName': 'moodle',
                          'AlarmEmail': 'admin@example.org'}):
            yield {**GIVEN, 'StateStore': store, 'Analysis': analysis, **rest}


def render(chosen):
    """The template without conditions, its parameters' defaults replaced by what was chosen."""
    template = load()
    values = {name: chosen.get(name, about.get('Default')) for name, about in template['Parameters'].items()}
    conditions = template.pop('Conditions')

    def holds(expression):
        (function, of), = expression.items()
        if function == 'Condition':
            return holds(conditions[of])
        if function == 'Fn::Equals':
            left, right = (values[side['Ref']] if isinstance(side, dict) else side for side in of)
            return str(left) == str(right)
        return {'Fn::Not': lambda: not holds(of[0]), 'Fn::And': lambda: all(map(holds, of)),
                'Fn::Or': lambda: any(map(holds, of))}[function]()

    def resolve(node):
        if isinstance(node, list):
            return [kept for kept in map(resolve, node) if kept is not REMOVED]
        if not isinstance(node, dict):
            return node
        if set(node) == {'Fn::If'}:
            condition, then, otherwise = node['Fn::If']
            return resolve(then if holds(conditions[condition]) else otherwise)
        if node == {'Ref': 'AWS::NoValue'}:
            return REMOVED
        resolved = {name: resolve(value) for name, value in node.items()}
        return {name: value for name, value in resolved.items() if value is not REMOVED}

    for section in ('Resources', 'Outputs'):
        template[section] = {
            name: {key: value for key, value in about.items() if key != 'Condition'}
            for name, about in template[section].items()
            if 'Condition' not in about or holds(conditions[about['Condition']])
        }
        template[section] = resolve(template[section])
    for name, about in template['Parameters'].items():
        if name in chosen:
            about['Default'] = chosen[name]
    # Its exceptions are for the template as a whole.
    del template['Metadata'], template['Rules']
    return template


def used(node):
    """The names that Ref, Fn::GetAtt, Fn::Sub and DependsOn speak of."""
    import re
    if isinstance(node, list):
        for child in node:
            yield from used(child)
    elif isinstance(node, dict):
        for name, value in node.items():
            if name == 'Ref':
                yield value
            elif name == 'Fn::GetAtt':
                yield value[0] if isinstance(value, list) else value.split('.')[0]
            elif name == 'DependsOn':
                yield from value if isinstance(value, list) else [value]
            elif name == 'Fn::Sub':
                text, own = value if isinstance(value, list) else (value, {})
                yield from (n.split('.')[0] for n in re.findall(r'\$\{([^!}]+)\}', text) if n not in own)
                yield from used(own)
            else:
                yield from used(value)


def text(node, values):
    """What Fn::Sub, Fn::Join and Ref make of a string, with a made-up value for each resource."""
    import re
    if isinstance(node, str):
        return node
    (function, of), = node.items()
    if function == 'Ref':
        return str(values.get(of, f'<{of}>'))
    if function == 'Fn::GetAtt':
        return '<' + (of if isinstance(of, str) else '.'.join(of)) + '>'
    if function == 'Fn::Base64':
        import base64
        return base64.b64encode(text(of, values).encode()).decode()
    assert function == 'Fn::Sub', node
    body, own = of if isinstance(of, list) else (of, {})
    own = {name: text(value, values) for name, value in own.items()}
    filled = re.sub(r'\$\{([^!}]+)\}', lambda m: own.get(m[1], str(values.get(m[1], f'<{m[1]}>'))), body)
    return filled.replace('${!', '${')
