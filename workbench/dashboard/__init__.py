"""The dashboard: what is in a results folder as one page that needs no network.

    definition    what a page shows, from `dashboards/*.yaml`
    sources       what a results folder holds, and which of its files are damaged
    panels/       one module a panel: from sources to blocks
    blocks        what a browser draws: tables, texts, choices, panels
    pictures      charts, heat maps, timelines
    axes          their ends and ticks
    labels        how figures and ages are written
    collect       all panels of a definition
    payload       as JSON
    sharing       what stands in it often, written once
    page          as HTML
    serve         on loopback, as a sweep goes on

Every number is computed here; the page's script only draws.
"""
