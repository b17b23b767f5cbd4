"""What is written about parameters is what they are."""

from pathlib import Path

from instseg_ros.reference import parameter_tables, parameters_yaml, STAGES
import yaml

ROOT = Path(__file__).parent.parent


def test_parameter_file_holds_every_parameter_with_its_default():
    text = (ROOT / 'config' / 'pipeline.yaml').read_text()
    assert text == parameters_yaml(), 'run scripts/reference'
    content = yaml.safe_load(text)
    assert content.keys() == {f'/**/{node}' for node in STAGES}
    for node, stage in STAGES.items():
        assert stage(**content[f'/**/{node}']['ros__parameters']) == stage()
        assert len(content[f'/**/{node}']['ros__parameters']) == len(stage.declared())


def test_readme_has_the_tables():
    assert parameter_tables() in (ROOT / 'README.md').read_text(), 'run scripts/reference'
