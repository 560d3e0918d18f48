CREATE SCHEMA "Shop.1"; CREATE SCHEMA other;
CREATE TABLE other.customers (id int PRIMARY KEY, name text);
CREATE TABLE other.regions (a int, b text, PRIMARY KEY (a, b));
INSERT INTO other.customers SELECT i, 'c' || i FROM generate_series(1, 50) i;
INSERT INTO other.regions VALUES (1, 'x'), (2, 'y');
CREATE FUNCTION other.touch() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE FUNCTION other.twice(i int) RETURNS int IMMUTABLE LANGUAGE sql AS 'SELECT i * 2';
CREATE FUNCTION other.noop() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NULL; END$$;
CREATE DOMAIN other.positive AS int CHECK (VALUE > 0);
CREATE SEQUENCE other.free START 7;
SET search_path = "Shop.1";
CREATE UNLOGGED TABLE scratch (i int);
CREATE TABLE "Order s" (
    gone1 int,
    id int GENERATED ALWAYS AS IDENTITY (START 5 INCREMENT 3 MAXVALUE 100000 CACHE 4 CYCLE),
    number bigserial,
    free bigint DEFAULT nextval('other.free'),
    gone2 text,
    customer int NOT NULL CONSTRAINT "buys" REFERENCES other.customers ON DELETE CASCADE DEFERRABLE INITIALLY DEFERRED,
    ra int, rb text,
    parent int,
    price other.positive DEFAULT other.twice(21),
    label varchar(20) COLLATE "C" DEFAULT 'it''s \ "q"',
    twice int GENERATED ALWAYS AS (price * 2) STORED,
    span int4range,
    doc text,
    tags text[][],
    n numeric(12,3),
    CONSTRAINT "Price %s {ok}" CHECK (price < 1000000),
    CONSTRAINT orders_pk PRIMARY KEY (id) INCLUDE (number) WITH (fillfactor = 71),
    CONSTRAINT u_deferred UNIQUE (number) DEFERRABLE INITIALLY DEFERRED,
    CONSTRAINT no_overlap EXCLUDE USING gist (span WITH &&) WITH (fillfactor = 72) WHERE (customer > 10) DEFERRABLE,
    CONSTRAINT region FOREIGN KEY (ra, rb) REFERENCES other.regions MATCH FULL ON UPDATE CASCADE ON DELETE SET NULL (ra),
    CONSTRAINT up FOREIGN KEY (parent) REFERENCES "Order s" (id) ON DELETE SET NULL
) WITH (fillfactor = 70, autovacuum_enabled = false, toast.autovacuum_enabled = false);
ALTER TABLE "Order s" DROP gone1, DROP gone2;
ALTER TABLE "Order s" ADD CONSTRAINT never CHECK (n < 5) NOT VALID;
ALTER TABLE "Order s" ADD CONSTRAINT kept CHECK (n < 1e9) NO INHERIT;
CREATE INDEX by_label ON "Order s" (lower(label) text_pattern_ops DESC NULLS LAST, price) INCLUDE (n) WITH (fillfactor = 55) WHERE price > 3;
CREATE UNIQUE INDEX "By ""N""" ON "Order s" (n, id) NULLS NOT DISTINCT;
CREATE INDEX ON "Order s" USING gin (tags);
CREATE INDEX ON "Order s" USING brin (n) WITH (pages_per_range = 4);
CREATE INDEX by_twice ON "Order s" (other.twice(price));
ALTER INDEX by_twice ALTER COLUMN 1 SET STATISTICS 77;
ALTER TABLE "Order s" CLUSTER ON by_twice;
CREATE UNIQUE INDEX ident ON "Order s" (customer, number);
ALTER TABLE "Order s" REPLICA IDENTITY USING INDEX ident;
ALTER TABLE "Order s" ALTER doc SET STORAGE EXTERNAL, ALTER doc SET STATISTICS 33, ALTER doc SET COMPRESSION pglz;
ALTER TABLE "Order s" ALTER n SET (n_distinct = -0.5, n_distinct_inherited = 100), ALTER n SET STATISTICS 0;
CREATE STATISTICS st (dependencies, mcv) ON customer, price FROM "Order s";
CREATE STATISTICS other."St 2" ON (price + customer), n FROM "Order s";
ALTER STATISTICS st SET STATISTICS 44;
CREATE TRIGGER touch BEFORE INSERT OR UPDATE OF price, label ON "Order s" FOR EACH ROW WHEN (NEW.price > 5) EXECUTE FUNCTION other.touch('a', 'it''s');
CREATE TRIGGER off AFTER DELETE ON "Order s" REFERENCING OLD TABLE AS gone FOR EACH STATEMENT EXECUTE FUNCTION other.noop();
CREATE CONSTRAINT TRIGGER later AFTER INSERT ON "Order s" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION other.noop();
CREATE TRIGGER trunc BEFORE TRUNCATE ON "Order s" EXECUTE FUNCTION other.noop();
CREATE TRIGGER replicas AFTER UPDATE ON "Order s" FOR EACH ROW EXECUTE FUNCTION other.noop();
ALTER TABLE "Order s" DISABLE TRIGGER off, ENABLE ALWAYS TRIGGER trunc, ENABLE REPLICA TRIGGER replicas;
CREATE RULE keep AS ON DELETE TO "Order s" WHERE OLD.price = 7 DO INSTEAD (UPDATE "Order s" SET price = 8 WHERE id = OLD.id; DELETE FROM other.regions WHERE a = OLD.ra; );
CREATE RULE idle AS ON UPDATE TO "Order s" WHERE false DO INSTEAD NOTHING;
ALTER TABLE "Order s" DISABLE RULE idle, ENABLE ALWAYS RULE keep;
CREATE POLICY mine ON "Order s" AS RESTRICTIVE FOR UPDATE TO twin_reader, "Twin Clerk" USING (customer > 3 AND EXISTS (SELECT FROM "Order s" o WHERE o.id = "Order s".parent)) WITH CHECK (price > 1);
CREATE POLICY everyone ON "Order s" USING (true);
CREATE POLICY ins ON "Order s" FOR INSERT WITH CHECK (price > 2);
ALTER TABLE "Order s" ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
-- others
CREATE TABLE items (order_id int CONSTRAINT "of" REFERENCES "Order s" ON DELETE CASCADE, n int);
CREATE TABLE loose (order_id int);
ALTER TABLE loose ADD CONSTRAINT unchecked FOREIGN KEY (order_id) REFERENCES "Order s" DEFERRABLE NOT VALID;
CREATE TABLE parted (order_id int, k int) PARTITION BY LIST (k);
CREATE TABLE parted1 PARTITION OF parted FOR VALUES IN (1);
ALTER TABLE parted ADD CONSTRAINT belongs FOREIGN KEY (order_id) REFERENCES "Order s";
CREATE VIEW v1 WITH (security_barrier) AS SELECT id, label AS "La bel", price FROM "Order s" WHERE price > 0 WITH LOCAL CHECK OPTION;
CREATE VIEW v2 AS SELECT v1.*, o.n FROM v1 JOIN "Order s" o USING (id);
CREATE VIEW other.grouped AS SELECT id, label, count(*) FROM "Order s" GROUP BY id;
CREATE VIEW v3 AS SELECT * FROM v2;
CREATE VIEW late AS SELECT o.*, row_to_json(o.*) AS j FROM "Order s" o;
ALTER VIEW v1 ALTER price SET DEFAULT 3;
CREATE FUNCTION v_ins() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RETURN NEW; END$$;
CREATE TRIGGER v_ins INSTEAD OF INSERT ON v3 FOR EACH ROW EXECUTE FUNCTION v_ins();
CREATE RULE log AS ON INSERT TO loose DO ALSO INSERT INTO "Order s" (customer) VALUES (1) ON CONFLICT ON CONSTRAINT orders_pk DO NOTHING;
CREATE RULE v2_ins AS ON INSERT TO v2 DO INSTEAD INSERT INTO "Order s" (customer) VALUES (NEW.id);
ALTER TABLE loose DISABLE RULE log;
CREATE POLICY by_order ON items USING (EXISTS (SELECT FROM "Order s" o WHERE o.id = order_id)) WITH CHECK (n > 0);
CREATE FUNCTION how_many(a int DEFAULT 1) RETURNS bigint LANGUAGE sql STABLE SECURITY DEFINER SET work_mem = '8MB' BEGIN ATOMIC SELECT count(*) FROM "Order s" WHERE price > a; END;
-- comments
COMMENT ON TABLE "Order s" IS 'the orders: it''s \ "all" % {x}';
COMMENT ON COLUMN "Order s".label IS 'a label';
COMMENT ON COLUMN "Order s".id IS 'the id';
COMMENT ON CONSTRAINT "Price %s {ok}" ON "Order s" IS 'not too much';
COMMENT ON CONSTRAINT orders_pk ON "Order s" IS 'the key';
COMMENT ON CONSTRAINT buys ON "Order s" IS 'who';
COMMENT ON CONSTRAINT up ON "Order s" IS 'tree';
COMMENT ON CONSTRAINT later ON "Order s" IS 'constraint trigger';
COMMENT ON CONSTRAINT no_overlap ON "Order s" IS 'gist';
COMMENT ON INDEX orders_pk IS 'the key''s index';
COMMENT ON INDEX by_label IS 'by label';
COMMENT ON TRIGGER touch ON "Order s" IS 'touches';
COMMENT ON RULE keep ON "Order s" IS 'keeps';
COMMENT ON POLICY mine ON "Order s" IS 'mine';
COMMENT ON STATISTICS st IS 'stats';
COMMENT ON SEQUENCE "Order s_id_seq" IS 'ids';
COMMENT ON SEQUENCE "Order s_number_seq" IS 'numbers';
COMMENT ON CONSTRAINT "of" ON items IS 'of an order';
COMMENT ON CONSTRAINT belongs ON parted IS 'parted';
COMMENT ON VIEW v1 IS 'a view';
COMMENT ON RULE log ON loose IS 'logs';
COMMENT ON POLICY by_order ON items IS 'by order';
COMMENT ON FUNCTION how_many IS 'counts';
-- owners, rights
GRANT USAGE, CREATE ON SCHEMA "Shop.1", other TO twin_owner; GRANT USAGE ON SCHEMA "Shop.1" TO "Twin Clerk";
ALTER TABLE "Order s" OWNER TO twin_owner;
GRANT SELECT, INSERT ON "Order s" TO twin_reader;
GRANT SELECT, UPDATE ON "Order s" TO "Twin Clerk" WITH GRANT OPTION;
REVOKE DELETE, TRUNCATE ON "Order s" FROM twin_owner;
GRANT SELECT (id, label), UPDATE (label) ON "Order s" TO PUBLIC;
GRANT SELECT (ctid) ON "Order s" TO twin_reader;
SET ROLE "Twin Clerk"; GRANT SELECT ON "Order s" TO twin_guest; GRANT UPDATE (price) ON "Order s" TO twin_guest; RESET ROLE;
GRANT USAGE ON SEQUENCE "Order s_id_seq" TO twin_reader; GRANT SELECT ON SEQUENCE "Order s_number_seq" TO twin_reader;
GRANT SELECT ON v1 TO twin_reader, twin_owner; ALTER VIEW v2 OWNER TO twin_owner; GRANT SELECT ON v3 TO twin_guest WITH GRANT OPTION;
ALTER STATISTICS st OWNER TO twin_reader;
ALTER FUNCTION how_many OWNER TO twin_owner; GRANT EXECUTE ON FUNCTION how_many TO twin_reader; REVOKE EXECUTE ON FUNCTION how_many FROM PUBLIC;
CREATE PUBLICATION pub FOR TABLE "Order s" (id, customer, number, price) WHERE (customer > 3);
CREATE PUBLICATION pub2 FOR TABLE "Order s", items;
CREATE PUBLICATION all_tables FOR ALL TABLES;
CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA "Shop.1";
RESET search_path;
INSERT INTO "Shop.1"."Order s" (customer, n, label, doc, tags, ra, rb, span)
    SELECT i, i, 'l' || i, repeat('x', 3000), ARRAY['a'], 1, 'x', int4range(i * 10, i * 10 + 5) FROM generate_series(1, 4) i;
INSERT INTO "Shop.1".items SELECT id, 1 FROM "Shop.1"."Order s";
INSERT INTO "Shop.1".parted SELECT id, 1 FROM "Shop.1"."Order s";
